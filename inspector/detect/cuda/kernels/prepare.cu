/* From a camera's pixels to the network's input in one pass: unpack or demosaic, crop, resize with
 * letterbox, normalise, lay out. One thread makes one output pixel, and reads just what it needs.
 *
 * Written in what C99 and CUDA C++ have in common: a C compiler builds it for the host, where it is
 * compared with OpenCV. Layout of `Prepare`: inspector/detect/cuda/prepare_plan.py, field by field.
 */
#ifdef __CUDACC__
#define FN __device__ static inline
#else
#include <math.h>
#include <stdint.h>
#define FN static inline
#endif

typedef unsigned char u8;
typedef unsigned short u16;

enum { MONO8, MONO_WORD, MONO_GEV, MONO_LSB10, MONO_LSB12, BAYER8, RGB8, BGR8 };
enum { OUT_U8, OUT_F32, OUT_F16 };

typedef struct {
    int format, shift;               /* shift: right, from a word's bits to eight */
    int red_x, red_y;                /* place of the first red pixel, for BAYER8 */
    int width, height, stride;       /* of the whole source; stride in bytes */
    int roi_x, roi_y, roi_w, roi_h;
    int out_w, out_h, out_channels;  /* 1 or 3 */
    int place_x, place_y, place_w, place_h; /* where the image lies in the output */
    int area;                        /* 1: mean of the covered area; 0: bilinear */
    int planar, swap, kind;          /* channels first; blue first; OUT_ */
    float pad;                       /* grey value beside the image */
    float mean[3], scale[3];         /* (value - mean) * scale, for float outputs */
} Prepare;

FN int clampi(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }

/* One channel of a mono format, as eight bits: the highest eight, as acquisition delivers them. */
FN int mono(const u8 *line, const Prepare *p, int x) {
    const u8 *b;
    switch (p->format) {
    case MONO_WORD:
        return (line[2 * x] | line[2 * x + 1] << 8) >> p->shift;
    case MONO_GEV: /* two pixels in three bytes, the high bits in a byte of their own */
        return line[3 * (x >> 1) + 2 * (x & 1)];
    case MONO_LSB12:
        b = line + 3 * (x >> 1);
        return x & 1 ? b[2] : (b[0] >> 4 | b[1] << 4) & 255;
    case MONO_LSB10: { /* pixel k of four starts at bit 10 k; its highest eight at 10 k + 2 */
        int k = x & 3;
        b = line + 5 * (x >> 2) + k;
        return ((b[0] | b[1] << 8) >> (2 * k + 2)) & 255;
    }
    default:
        return line[x];
    }
}

/* Bilinear demosaicing, in quarters of a grey level. The outermost ring repeats its neighbours, as in OpenCV. */
FN void bayer(const u8 *s, const Prepare *p, int x, int y, int *quarters) {
    int n = p->stride, odd_x, odd_y;
    const u8 *c;
    x = clampi(x, 1, p->width - 2);
    y = clampi(y, 1, p->height - 2);
    c = s + (long long)y * n + x;
    odd_x = (x ^ p->red_x) & 1;
    odd_y = (y ^ p->red_y) & 1;
    if (odd_x == odd_y) {
        int corners = c[-n - 1] + c[-n + 1] + c[n - 1] + c[n + 1];
        quarters[0] = odd_x ? corners : 4 * *c;
        quarters[1] = c[-1] + c[1] + c[-n] + c[n];
        quarters[2] = odd_x ? 4 * *c : corners;
    } else {
        int along = 2 * (c[-1] + c[1]), across = 2 * (c[-n] + c[n]);
        quarters[0] = odd_y ? across : along; /* in a line of red pixels red lies left and right */
        quarters[1] = 4 * *c;
        quarters[2] = odd_y ? along : across;
    }
}

/* Pixel (x, y) of the region: its channels in the output's number, red first. */
FN void fetch(const u8 *s, const Prepare *p, int x, int y, float *v) {
    int rgb[3], c, bits = 0; /* bits: what rgb has below the grey level */
    x += p->roi_x;
    y += p->roi_y;
    if (p->format == BAYER8) {
        bayer(s, p, x, y, rgb);
        bits = 2;
    } else if (p->format == RGB8 || p->format == BGR8) {
        const u8 *pixel = s + (long long)y * p->stride + 3 * x;
        int blue_first = p->format == BGR8;
        rgb[0] = pixel[blue_first ? 2 : 0];
        rgb[1] = pixel[1];
        rgb[2] = pixel[blue_first ? 0 : 2];
    } else {
        rgb[0] = rgb[1] = rgb[2] = mono(s + (long long)y * p->stride, p, x);
    }
    if (p->out_channels == 1 && bits) /* BT.601 in 14 bits for Bayer and in 15 else, as OpenCV */
        v[0] = (float)((rgb[0] * 4899 + rgb[1] * 9617 + rgb[2] * 1868 + 32768) >> 16);
    else if (p->out_channels == 1)
        v[0] = (float)((rgb[0] * 9798 + rgb[1] * 19235 + rgb[2] * 3735 + 16384) >> 15);
    else
        for (c = 0; c < 3; c++)
            v[c] = (float)((rgb[c] + bits) >> bits); /* half of four quarters is 2, which is bits */
}

FN void add(const u8 *s, const Prepare *p, int x, int y, float weight, float *sum) {
    float v[3];
    int c;
    fetch(s, p, clampi(x, 0, p->roi_w - 1), clampi(y, 0, p->roi_h - 1), v);
    for (c = 0; c < p->out_channels; c++)
        sum[c] += weight * v[c];
}

FN void bilinear(const u8 *s, const Prepare *p, int x, int y, float *sum) {
    float fx = ((float)x + 0.5f) * ((float)p->roi_w / (float)p->place_w) - 0.5f;
    float fy = ((float)y + 0.5f) * ((float)p->roi_h / (float)p->place_h) - 0.5f;
    int x0 = (int)floorf(fx), y0 = (int)floorf(fy);
    float wx = fx - (float)x0, wy = fy - (float)y0;
    add(s, p, x0, y0, (1 - wx) * (1 - wy), sum);
    if (wx > 0)
        add(s, p, x0 + 1, y0, wx * (1 - wy), sum);
    if (wy > 0)
        add(s, p, x0, y0 + 1, (1 - wx) * wy, sum);
    if (wx > 0 && wy > 0)
        add(s, p, x0 + 1, y0 + 1, wx * wy, sum);
}

FN float covered(float from, float to, int cell) {
    float low = from > (float)cell ? from : (float)cell;
    float high = to < (float)(cell + 1) ? to : (float)(cell + 1);
    return high > low ? high - low : 0.0f;
}

FN void mean_of_area(const u8 *s, const Prepare *p, int x, int y, float *sum) {
    float sx = (float)p->roi_w / (float)p->place_w, sy = (float)p->roi_h / (float)p->place_h;
    float left = (float)x * sx, right = left + sx, top = (float)y * sy, bottom = top + sy;
    int cx, cy;
    for (cy = (int)top; cy < p->roi_h && (float)cy < bottom; cy++)
        for (cx = (int)left; cx < p->roi_w && (float)cx < right; cx++) {
            float weight = covered(left, right, cx) * covered(top, bottom, cy) / (sx * sy);
            if (weight > 0)
                add(s, p, cx, cy, weight, sum);
        }
}

/* float to IEEE half, rounding to nearest even; beyond the range to infinity (IEEE 754, 7.4). */
FN u16 to_half(float f) {
    union { float f; unsigned u; } b;
    unsigned sign, magnitude;
    b.f = f;
    sign = b.u >> 16 & 0x8000u;
    magnitude = b.u & 0x7fffffffu;
    if (magnitude >= 0x47800000u)
        return (u16)(sign | (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u));
    if (magnitude < 0x38800000u) { /* below the smallest normal half: let the float unit round */
        b.u = magnitude;
        b.f += 0.5f;
        return (u16)(sign | (b.u - 0x3f000000u));
    }
    magnitude += 0xc8000fffu + (magnitude >> 13 & 1u);
    return (u16)(sign | magnitude >> 13);
}

FN void prepare_pixel(const u8 *s, void *out, const Prepare *p, int x, int y) {
    float v[3];
    int c, px = x - p->place_x, py = y - p->place_y;
    int inside = px >= 0 && py >= 0 && px < p->place_w && py < p->place_h;
    for (c = 0; c < 3; c++)
        v[c] = inside ? 0.0f : p->pad;
    if (inside) {
        if (p->area)
            mean_of_area(s, p, px, py, v);
        else
            bilinear(s, p, px, py, v);
    }
    for (c = 0; c < p->out_channels; c++) {
        int from = p->swap ? p->out_channels - 1 - c : c;
        long long plane = (long long)p->out_w * p->out_h, pixel = (long long)y * p->out_w + x;
        long long at = p->planar ? c * plane + pixel : pixel * p->out_channels + c;
        if (p->kind == OUT_U8) {
            float level = rintf(v[from]);
            ((u8 *)out)[at] = (u8)(level < 0 ? 0 : level > 255 ? 255 : level);
        } else {
            float value = (v[from] - p->mean[c]) * p->scale[c];
            if (p->kind == OUT_F32)
                ((float *)out)[at] = value;
            else
                ((u16 *)out)[at] = to_half(value);
        }
    }
}

#ifdef __CUDACC__
extern "C" __global__ void prepare(const u8 *source, void *out, Prepare p) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < p.out_w && y < p.out_h)
        prepare_pixel(source, out, &p, x, y);
}
#else
void prepare(const u8 *source, void *out, const Prepare *p) {
    int x, y;
    for (y = 0; y < p->out_h; y++)
        for (x = 0; x < p->out_w; x++)
            prepare_pixel(source, out, p, x, y);
}
#endif
