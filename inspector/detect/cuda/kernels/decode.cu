/* From a score map to what leaves the device: score, strongest regions, heat map of at most 64 x 64.
 *
 * One block a map. The same results as inspector/detect/model/decode.py (`regions`, `shrink`). Written in
 * what C99 and CUDA C++ have in common: on the host one "thread" runs through it, for the tests.
 * Layout of `Decode` and `Answer`: inspector/detect/cuda/decode_plan.py, field by field.
 */
#ifdef __CUDACC__
#define FN __device__ static inline
#define SHARED __shared__
#define BARRIER() __syncthreads()
#define TID ((int)threadIdx.x)
#define THREADS ((int)blockDim.x)
FN void least(int *at, int v) { atomicMin(at, v); }
FN void most(int *at, int v) { atomicMax(at, v); }
FN void most_key(unsigned long long *at, unsigned long long v) { atomicMax(at, v); }
FN int as_int(float f) { return __float_as_int(f); }
FN float as_float(int i) { return __int_as_float(i); }
#else
#define FN static inline
#define SHARED static
#define BARRIER()
#define TID 0
#define THREADS 1
FN void least(int *at, int v) { if (v < *at) *at = v; }
FN void most(int *at, int v) { if (v > *at) *at = v; }
FN void most_key(unsigned long long *at, unsigned long long v) { if (v > *at) *at = v; }
FN int as_int(float f) { union { float f; int i; } b; b.f = f; return b.i; }
FN float as_float(int i) { union { float f; int i; } b; b.i = i; return b.f; }
#endif

#define HEAT_LIMIT 64
#define MAX_REGIONS 20
#define NONE 0x7fffffff

typedef struct { int rows, columns; float limit; } Decode;
typedef struct { int x0, y0, x1, y1; float peak; } Region; /* in cells, half-open */
typedef struct { float score; int count; Region region[MAX_REGIONS]; float heat[HEAT_LIMIT * HEAT_LIMIT]; } Answer;

FN int at_most(int v, int limit) { return v < limit ? v : limit; }

/* Each heat cell keeps the largest score of the cells that it stands for. */
FN void shrink(const float *map, const Decode *p, float *heat) {
    int rows = at_most(p->rows, HEAT_LIMIT), columns = at_most(p->columns, HEAT_LIMIT), i, x, y;
    for (i = TID; i < rows * columns; i += THREADS) {
        int r = i / columns, c = i % columns;
        int y0 = r * p->rows / rows, y1 = (r + 1) * p->rows / rows;
        int x0 = c * p->columns / columns, x1 = (c + 1) * p->columns / columns;
        float best = map[y0 * p->columns + x0];
        for (y = y0; y < y1; y++)
            for (x = x0; x < x1; x++)
                best = map[y * p->columns + x] > best ? map[y * p->columns + x] : best;
        heat[i] = best;
    }
}

/* The smallest label among a cell and its eight neighbours, and what that one points to. */
FN int smallest_label(const volatile int *label, const Decode *p, int i) {
    int x = i % p->columns, y = i / p->columns, best = label[i], dx, dy;
    for (dy = -1; dy <= 1; dy++)
        for (dx = -1; dx <= 1; dx++) {
            int nx = x + dx, ny = y + dy, n;
            if (nx < 0 || ny < 0 || nx >= p->columns || ny >= p->rows)
                continue;
            n = label[ny * p->columns + nx];
            best = n < best ? n : best;
        }
    return label[best] < best ? label[best] : best;
}

/* Connected regions by spreading the smallest cell number, until nothing changes. NONE: below the limit. */
FN void label_cells(const float *map, const Decode *p, int *label) {
    SHARED int changed;
    int i, go_on, n = p->rows * p->columns;
    for (i = TID; i < n; i += THREADS)
        label[i] = map[i] >= p->limit ? i : NONE;
    do {
        BARRIER();
        if (TID == 0)
            changed = 0;
        BARRIER();
        for (i = TID; i < n; i += THREADS)
            if (label[i] != NONE) {
                int best = smallest_label(label, p, i);
                if (best < label[i]) {
                    least(&label[i], best);
                    most(&changed, 1);
                }
            }
        BARRIER();
        go_on = changed;
    } while (go_on);
    BARRIER();
}

/* Box and peak of each region, kept at its smallest cell. Scores over a positive limit order as integers. */
FN void measure(const float *map, const Decode *p, const int *label, int *box) {
    int i, n = p->rows * p->columns;
    for (i = TID; i < n; i += THREADS) {
        box[i] = box[n + i] = NONE;
        box[2 * n + i] = box[3 * n + i] = box[4 * n + i] = 0;
    }
    BARRIER();
    for (i = TID; i < n; i += THREADS)
        if (label[i] != NONE) {
            int x = i % p->columns, y = i / p->columns, r = label[i];
            least(&box[r], x);
            least(&box[n + r], y);
            most(&box[2 * n + r], x + 1);
            most(&box[3 * n + r], y + 1);
            most(&box[4 * n + r], as_int(map[i]));
        }
    BARRIER();
}

/* Strongest first; of equal peaks the leftmost, then the topmost, as the CPU sorts them. */
FN void pick(const Decode *p, const int *label, int *box, Answer *answer) {
    SHARED unsigned long long best;
    SHARED int winner;
    int i, k, n = p->rows * p->columns, *peak = box + 4 * n;
    for (k = 0; k < MAX_REGIONS; k++) {
        unsigned long long key;
        if (TID == 0)
            best = 0, winner = NONE;
        BARRIER();
        for (i = TID; i < n; i += THREADS)
            if (label[i] == i && peak[i]) {
                key = (unsigned long long)peak[i] << 32 | (0xffffffffu - ((unsigned)box[i] << 16 | (unsigned)box[n + i]));
                most_key(&best, key);
            }
        BARRIER();
        for (i = TID; i < n; i += THREADS)
            if (label[i] == i && peak[i]) {
                key = (unsigned long long)peak[i] << 32 | (0xffffffffu - ((unsigned)box[i] << 16 | (unsigned)box[n + i]));
                if (key == best)
                    least(&winner, i);
            }
        BARRIER();
        if (winner == NONE)
            break; /* the same for all threads */
        if (TID == 0) {
            Region *r = &answer->region[k];
            i = winner;
            r->x0 = box[i], r->y0 = box[n + i], r->x1 = box[2 * n + i], r->y1 = box[3 * n + i];
            r->peak = as_float(peak[i]);
            peak[i] = 0;
            answer->count = k + 1;
        }
        BARRIER();
    }
}

/* `work` holds six numbers a cell. */
FN void decode_map(const float *score, const float *map, Decode p, int *work, Answer *answer) {
    if (TID == 0) {
        answer->score = *score;
        answer->count = 0;
    }
    shrink(map, &p, answer->heat);
    label_cells(map, &p, work);
    measure(map, &p, work, work + p.rows * p.columns);
    pick(&p, work, work + p.rows * p.columns, answer);
}

#ifdef __CUDACC__
extern "C" __global__ void decode(const float *score, const float *map, Decode p, int *work, Answer *answer) {
    int image = blockIdx.x, cells = p.rows * p.columns;
    decode_map(score + image, map + (long long)image * cells, p, work + (long long)image * 6 * cells, answer + image);
}
#else
void decode(const float *score, const float *map, const Decode *p, int *work, Answer *answer) {
    decode_map(score, map, *p, work, answer);
}
#endif
