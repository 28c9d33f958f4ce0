"""Architectures, their fine-tuning, and text from language models."""

from pydl.models.alexnet import AlexNet, OverFeat, ZFNet, alexnet, overfeat, zfnet
from pydl.models.beam import BeamResult, beam_search
from pydl.models.finetune import freeze, head_name, param_groups, replace_head, transfer, unfreeze
from pydl.models.generation import LanguageModel, Uncached, generate, stream
from pydl.models.googlenet import GoogLeNet, GoogLeNetOutputs, SmallInception, auxiliary_loss, googlenet
from pydl.models.gpt import GPT, GPTConfig, GPTState
from pydl.models.language import RNNLanguageModel, detach_state, unroll
from pydl.models.lenet import LeNet, LeNet5
from pydl.models.mlp import MLP
from pydl.models.resnet import BasicBlock, Bottleneck, ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from pydl.models.resnet_cifar import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110
from pydl.models.tcn import TCNLanguageModel, TCNSequenceModel
from pydl.models.text_generation import generate_text, stream_text
from pydl.models.vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "GPT",
    "MLP",
    "VGG",
    "AlexNet",
    "BasicBlock",
    "BeamResult",
    "Bottleneck",
    "CifarResNet",
    "GPTConfig",
    "GPTState",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "LanguageModel",
    "LeNet",
    "LeNet5",
    "OverFeat",
    "RNNLanguageModel",
    "ResNet",
    "SmallInception",
    "TCNLanguageModel",
    "TCNSequenceModel",
    "Uncached",
    "ZFNet",
    "alexnet",
    "auxiliary_loss",
    "beam_search",
    "detach_state",
    "freeze",
    "generate",
    "generate_text",
    "googlenet",
    "head_name",
    "overfeat",
    "param_groups",
    "replace_head",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "stream",
    "stream_text",
    "transfer",
    "unfreeze",
    "unroll",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "zfnet",
]
