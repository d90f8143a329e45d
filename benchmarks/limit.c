/* What one thread of this machine can do: the training step of benchmarks/step.py in plain C.

   The net 2-25-25-25-2 (ReLU, ReLU, ReLU, Tanh; squared error) with Adam on batches of 50 of 1000 points, a fresh
   permutation every epoch. All sizes are known to the compiler, rows are padded to whole vectors, and nothing is
   allocated in a step. Weights lie as (input, output), so that the innermost loop runs over neighbours.

   Compiled by benchmarks/peers/with_c.py: cc -O3 -march=native -ffast-math -shared. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1000, BATCH = 50, STEPS = ROWS / BATCH, LAYERS = 4, WIDE = 32, NARROW = 8, HIDDEN = 25 };

static const int INPUTS[LAYERS] = {2, HIDDEN, HIDDEN, HIDDEN}, OUTPUTS[LAYERS] = {HIDDEN, HIDDEN, HIDDEN, 2};
static const float RATE = 5e-3f, BETA1 = 0.9f, BETA2 = 0.999f, EPSILON = 1e-8f;

/* One layer's numbers as (input, output) and its bias; a gradient and both moments have the same form. */
typedef struct {
    float w0[2][WIDE], b0[WIDE], w1[WIDE][WIDE], b1[WIDE], w2[WIDE][WIDE], b2[WIDE], w3[WIDE][NARROW], b3[NARROW];
} Vector;

enum { LENGTH = sizeof(Vector) / sizeof(float) };

typedef struct {
    Vector w, g, m, v;
    int count;
    unsigned random;
    int order[ROWS];
    float x[BATCH][2], y[BATCH][NARROW];                                         /* the batch */
    float a0[BATCH][WIDE], a1[BATCH][WIDE], a2[BATCH][WIDE], a3[BATCH][NARROW];  /* values */
    float d0[BATCH][WIDE], d1[BATCH][WIDE], d2[BATCH][WIDE], d3[BATCH][NARROW];  /* their gradients */
    float turned[WIDE][WIDE];                                                    /* a weight as (output, input) */
} Net;

/* c[r][:] = start[:] + sum over k of a[r * row + k * step] * b[k][:], for an even number of rows. */
static inline __attribute__((always_inline)) void product(
    int rows, int inner, int columns, const float *restrict a, int row, int step, const float *restrict b,
    const float *restrict start, float *restrict c)
{
    for (int r = 0; r < rows; r += 2) {
        float upper[WIDE], lower[WIDE];
        for (int j = 0; j < columns; j++) upper[j] = lower[j] = start ? start[j] : 0;
        for (int k = 0; k < inner; k++) {
            float p = a[r * row + k * step], q = a[(r + 1) * row + k * step];
            for (int j = 0; j < columns; j++) {
                upper[j] += p * b[k * columns + j];
                lower[j] += q * b[k * columns + j];
            }
        }
        for (int j = 0; j < columns; j++) c[r * columns + j] = upper[j], c[(r + 1) * columns + j] = lower[j];
    }
}

static inline void relu(float a[BATCH][WIDE])
{
    for (int j = 0; j < BATCH * WIDE; j++) a[0][j] = a[0][j] > 0 ? a[0][j] : 0;
}

static inline __attribute__((always_inline)) void sum_rows(int columns, const float *d, float *gradient)
{
    float sums[WIDE] = {0};
    for (int r = 0; r < BATCH; r++)
        for (int j = 0; j < columns; j++) sums[j] += d[r * columns + j];
    memcpy(gradient, sums, columns * sizeof(float));
}

/* Send the gradient d through a weight (WIDE, columns) to the ReLU's output a; a row of `into` is (WIDE). */
static inline __attribute__((always_inline)) void send_back(
    Net *n, int columns, const float *d, const float *weight, float a[BATCH][WIDE], float into[BATCH][WIDE])
{
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < WIDE; i++) n->turned[j][i] = weight[i * columns + j];
    product(BATCH, columns == WIDE ? HIDDEN : 2, WIDE, d, columns, 1, n->turned[0], NULL, into[0]);
    for (int j = 0; j < BATCH * WIDE; j++) into[0][j] = a[0][j] > 0 ? into[0][j] : 0;
}

static double forward(Net *n)
{
    const Vector *w = &n->w;
    product(BATCH, 2, WIDE, n->x[0], 2, 1, w->w0[0], w->b0, n->a0[0]);
    relu(n->a0);
    product(BATCH, HIDDEN, WIDE, n->a0[0], WIDE, 1, w->w1[0], w->b1, n->a1[0]);
    relu(n->a1);
    product(BATCH, HIDDEN, WIDE, n->a1[0], WIDE, 1, w->w2[0], w->b2, n->a2[0]);
    relu(n->a2);
    product(BATCH, HIDDEN, NARROW, n->a2[0], WIDE, 1, w->w3[0], w->b3, n->a3[0]);
    float total = 0;
    for (int r = 0; r < BATCH; r++)
        for (int j = 0; j < NARROW; j++) {
            float a = tanhf(n->a3[r][j]), difference = a - n->y[r][j];
            total += difference * difference;
            n->d3[r][j] = difference / BATCH * (1 - a * a); /* 2 / (BATCH * 2) */
        }
    return total / (BATCH * 2);
}

static void backward(Net *n)
{
    Vector *g = &n->g;
    product(HIDDEN + 1, BATCH, NARROW, n->a2[0], 1, WIDE, n->d3[0], NULL, g->w3[0]);
    sum_rows(NARROW, n->d3[0], g->b3);
    send_back(n, NARROW, n->d3[0], n->w.w3[0], n->a2, n->d2);
    product(HIDDEN + 1, BATCH, WIDE, n->a1[0], 1, WIDE, n->d2[0], NULL, g->w2[0]);
    sum_rows(WIDE, n->d2[0], g->b2);
    send_back(n, WIDE, n->d2[0], n->w.w2[0], n->a1, n->d1);
    product(HIDDEN + 1, BATCH, WIDE, n->a0[0], 1, WIDE, n->d1[0], NULL, g->w1[0]);
    sum_rows(WIDE, n->d1[0], g->b1);
    send_back(n, WIDE, n->d1[0], n->w.w1[0], n->a0, n->d0);
    product(2, BATCH, WIDE, n->x[0], 1, 2, n->d0[0], NULL, g->w0[0]);
    sum_rows(WIDE, n->d0[0], g->b0);
}

/* Padding has the gradient 0, so that it stays 0. */
static void adam(Net *n)
{
    float *restrict w = (float *)&n->w, *restrict g = (float *)&n->g, *restrict m = (float *)&n->m;
    float *restrict v = (float *)&n->v;
    n->count++;
    float rate = RATE / (1 - pow(BETA1, n->count)), root = 1 / sqrt(1 - pow(BETA2, n->count));
    for (int i = 0; i < LENGTH; i++) {
        m[i] = BETA1 * m[i] + (1 - BETA1) * g[i];
        v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] * g[i];
        w[i] -= rate * m[i] / (sqrtf(v[i]) * root + EPSILON);
    }
}

static void shuffle(Net *n)
{
    for (int i = ROWS - 1; i > 0; i--) {
        n->random ^= n->random << 13, n->random ^= n->random >> 17, n->random ^= n->random << 5;
        int j = n->random % (i + 1), kept = n->order[i];
        n->order[i] = n->order[j], n->order[j] = kept;
    }
}

/* parameters: each layer's weight (output, input) and bias, as torch.nn lays them out, one after another. */
Net *create(const float *parameters)
{
    Net *n = calloc(1, sizeof(Net));
    float *weights[LAYERS] = {n->w.w0[0], n->w.w1[0], n->w.w2[0], n->w.w3[0]};
    float *biases[LAYERS] = {n->w.b0, n->w.b1, n->w.b2, n->w.b3};
    for (int k = 0; k < LAYERS; k++) {
        int wide = OUTPUTS[k] == HIDDEN ? WIDE : NARROW;
        for (int o = 0; o < OUTPUTS[k]; o++)
            for (int i = 0; i < INPUTS[k]; i++) weights[k][i * wide + o] = *parameters++;
        for (int o = 0; o < OUTPUTS[k]; o++) biases[k][o] = *parameters++;
    }
    for (int i = 0; i < ROWS; i++) n->order[i] = i;
    n->random = 2463534242u;
    return n;
}

/* Train on x (1000, 2) and y (1000, 2); the mean loss of every epoch goes into losses. */
void train(Net *n, const float (*x)[2], const float (*y)[2], int epochs, int shuffled, double *losses)
{
    for (int epoch = 0; epoch < epochs; epoch++) {
        double total = 0;
        if (shuffled) shuffle(n);
        for (int step = 0; step < STEPS; step++) {
            for (int r = 0; r < BATCH; r++) {
                int from = n->order[step * BATCH + r];
                memcpy(n->x[r], x[from], sizeof n->x[r]);
                memcpy(n->y[r], y[from], 2 * sizeof(float));
            }
            total += forward(n);
            backward(n);
            adam(n);
        }
        losses[epoch] = total / STEPS;
    }
}

void destroy(Net *n) { free(n); }
