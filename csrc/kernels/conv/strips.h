// Strips: the outputs of a piece, a vector's lanes at a time. A strip's outputs need not be neighbours in the image: it
// is made of segments, each part of one row, whose elements in the image and in the output lie evenly.
#pragma once

#include "kernels/conv/stage.h"

namespace pydl::PYDL_ISA {
namespace {

struct Segment {
  int64_t lane, count;  // of the strip
  int64_t from;         // in the staged image
  int64_t to;           // in the output, from the piece's first element
};

struct Strip {
  int64_t first, segments;  // its segments
  int64_t count;            // lanes used
};

struct Strips {
  Strip* strip;
  Segment* segment;
  int64_t count;
};

// How a row of the output, and a strip of it, begins and ends.
enum class Joining : uint8_t {
  row,    // a strip holds outputs of one row
  image,  // of one image
  piece,  // of any
};

// Strides of the output; x from one of an axis' outputs to the next.
struct Grid {
  int64_t image, z, y, x;
};

inline int64_t most_strips(const Axis (&axis)[kAxes], const Piece& p, int64_t lanes) {
  return p.images * p.deep * p.high * (axis[2].count / lanes + 1);
}

inline int64_t most_segments(const Axis (&axis)[kAxes], const Piece& p, int64_t lanes) {
  return p.images * p.deep * p.high * (axis[2].count / lanes + 2);
}

// Appends `count` outputs of a row to the strips; a strip that is full is followed by a new one.
inline void append(Strips& s, int64_t& segments, int64_t lanes, int64_t count, int64_t from, int64_t to,
                   int64_t pitch) {
  while (count > 0) {
    if (s.count == 0 || s.strip[s.count - 1].count == lanes) s.strip[s.count++] = {segments, 0, 0};
    Strip& strip = s.strip[s.count - 1];
    const int64_t n = least(count, lanes - strip.count);
    s.segment[segments++] = {strip.count, n, from, to};
    ++strip.segments;
    strip.count += n;
    count -= n;
    from += n;
    to += n * pitch;
  }
}

// s.strip and s.segment have room; from one output of a row to the next the staged image steps by 1.
inline void make_strips(const Axis (&axis)[kAxes], const Piece& p, const Layout& l, const Grid& g, Joining joining,
                        int64_t lanes, Strips& s) {
  int64_t segments = 0;
  s.count = 0;
  const auto close = [&] {  // the next output begins a strip
    if (s.count > 0 && s.strip[s.count - 1].count < lanes) s.strip[s.count++] = {segments, 0, 0};
  };
  for (int64_t b = 0; b < p.images; ++b) {
    if (joining == Joining::image) close();
    for (int64_t z = 0; z < p.deep; ++z)
      for (int64_t y = 0; y < p.high; ++y) {
        if (joining == Joining::row) close();
        append(s, segments, lanes, axis[2].count, b * l.image + z * axis[0].step * l.z + y * axis[1].step * l.y,
               b * g.image + z * g.z + y * g.y, g.x);
      }
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA
