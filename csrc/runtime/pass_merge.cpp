// Merging: launches that have nothing to do with one another, each too small for several threads, run beside each
// other: the two products of a linear layer's gradient, or the layers of a discriminator on real and on made examples.
#include <algorithm>
#include <string>
#include <utility>

#include "runtime/parallel.h"
#include "runtime/passes.h"
#include "runtime/stages.h"

namespace pydl {
namespace {

// How many launches behind the first are looked at.
constexpr int kReach = 6;

// Launches as the tasks of one parallel region. In the plan's arena.
struct Merged {
  const Launch* parts;
  int count;

  void run() const {
    parallel_run(
        count, 1,
        [](const void* self, int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const Launch& part = static_cast<const Merged*>(self)->parts[i];
            part.run(part.call);
          }
        },
        this);
  }
};

// Nanoseconds that the work of a launch takes one core at its best, about: 70 Gflop/s, 20 GB/s.
int64_t work_time(const Traced& t) { return t.launch.flops / 70 + t.launch.bytes / 20; }

// Nanoseconds that a launch took when it was recorded; a neighbour on the core may have made them many.
int64_t time_of(const Traced& t) { return std::min(t.launch.nanoseconds, 2 * work_time(t)); }

class Merger {
 public:
  Merger(const std::vector<Traced>& launches, MergeOptions options, Arena& arena)
      : launches_(launches), options_(options), arena_(arena), taken_(launches.size(), 0) {}

  std::pair<std::vector<Traced>, int64_t> run() {
    std::vector<Traced> order;
    int64_t merged = 0;
    for (int i = 0; i < static_cast<int>(launches_.size()); ++i) {
      if (taken_[i]) continue;
      const std::vector<int> beside = together(i);
      if (beside.size() < 2) {
        order.push_back(launches_[i]);
        continue;
      }
      for (int k : beside) taken_[k] = 1;
      merged += static_cast<int64_t>(beside.size());
      order.push_back(built(beside));
    }
    return {std::move(order), merged};
  }

 private:
  bool fits(int i) const {
    const Traced& t = launches_[i];
    return !t.check && !t.accesses.empty() && !on_device(t) && time_of(t) >= options_.least &&
           work_time(t) <= options_.most;
  }

  // Launch i and those behind it that may run beside it: nothing that they are moved past minds.
  std::vector<int> together(int i) const {
    std::vector<int> beside{i};
    if (!fits(i)) return beside;
    const int end = std::min(static_cast<int>(launches_.size()), i + 1 + kReach);
    for (int k = i + 1; k < end && !launches_[k].check; ++k) {
      bool free = !taken_[k] && fits(k);
      for (int q = i; q < k && free; ++q) free = taken_[q] > 0 || !conflict(launches_[q], launches_[k]);
      if (free) beside.push_back(k);
    }
    std::stable_sort(beside.begin(), beside.end(),
                     [&](int a, int b) { return work_time(launches_[a]) > work_time(launches_[b]); });
    return beside;
  }

  Traced built(const std::vector<int>& beside) const {
    std::vector<Launch> parts;
    Traced all{};
    all.launch = launches_[beside[0]].launch;
    all.launch.nanoseconds = all.launch.bytes = all.launch.flops = 0;
    std::string label;
    for (int i : beside) {
      const Traced& t = launches_[i];
      parts.push_back(t.launch);
      all.accesses.insert(all.accesses.end(), t.accesses.begin(), t.accesses.end());
      all.places.insert(all.places.end(), t.places.begin(), t.places.end());
      all.launch.nanoseconds += t.launch.nanoseconds;
      all.launch.bytes += t.launch.bytes;
      all.launch.flops += t.launch.flops;
      label += (label.empty() ? "" : " ") + std::string(*t.launch.label ? t.launch.label : t.launch.name);
    }
    const Merged merged{static_cast<const Launch*>(arena_.copy(parts.data(), parts.size() * sizeof(Launch))),
                        static_cast<int>(parts.size())};
    all.launch.run = [](const void* parts) { static_cast<const Merged*>(parts)->run(); };
    all.launch.call = arena_.copy(&merged, sizeof merged);
    all.launch.name = "merged";
    all.launch.label = static_cast<const char*>(arena_.copy(label.c_str(), label.size() + 1));
    return all;
  }

  const std::vector<Traced>& launches_;
  MergeOptions options_;
  Arena& arena_;
  std::vector<char> taken_;
};

}  // namespace

int64_t merge(std::vector<Traced>& launches, MergeOptions options, Arena& arena) {
  auto [order, merged] = Merger(launches, options, arena).run();
  launches = std::move(order);
  return merged;
}

}  // namespace pydl
