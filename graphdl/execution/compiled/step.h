// What a compiled training step is made of: vectorized mathematics, and small matrix products of constant sizes.
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)  // libmvec holds a vectorized form of each
#define SIMD(name)                                                         \
  extern "C" __attribute__((simd("notinbranch"))) float name##f(float) noexcept; \
  extern "C" __attribute__((simd("notinbranch"))) double name(double) noexcept;
SIMD(tanh) SIMD(exp) SIMD(log) SIMD(log1p) SIMD(expm1) SIMD(sin) SIMD(cos) SIMD(erf)
#undef SIMD
#endif
#endif

#define MATH(name)                                        \
  static inline float v##name(float x) { return name##f(x); } \
  static inline double v##name(double x) { return name(x); }
MATH(tanh) MATH(exp) MATH(log) MATH(log1p) MATH(expm1) MATH(sin) MATH(cos) MATH(erf)
#undef MATH

// While one of these lives, numbers too small to be written in full count as 0: the moments of a parameter whose gradient
// has become 0 fade through them, and each would cost a hundred cycles. The thread gets its own setting back
struct Flushing {
#if defined(__SSE__)
  unsigned before = __builtin_ia32_stmxcsr();
  Flushing() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~Flushing() { __builtin_ia32_ldmxcsr(before); }
#endif
};

// C = A B + beta C, columns first, by the BLAS that torch is linked with
template <class T>
static inline void blas(void* function, char ta, char tb, int m, int n, int k, const T* a, int lda, const T* b, int ldb,
                        T* c, int ldc, T beta) {
  typedef void gemm_t(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                      const T*, const int*, const T*, T*, const int*);
  T one = 1;
  ((gemm_t*)function)(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &beta, c, &ldc);
}

#if defined(__AVX512F__)
constexpr int BYTES = 64, ROWS = 8;
#elif defined(__AVX__)
constexpr int BYTES = 32, ROWS = 6;
#else
constexpr int BYTES = 16, ROWS = 6;
#endif
template <class T> struct Vec { typedef T type __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias)); };

// R rows times W vectors of C = bias + A P, where P is B in rows that are padded to whole vectors
template <class T, int R, int W, int K, int NP, int AM, int AK, int CM, int CN, int SM, int SN>
static inline __attribute__((always_inline)) void tile(const T* A, const T* P, T* C, const T* bias, int width) {
  typedef typename Vec<T>::type V;
  constexpr int L = BYTES / sizeof(T);
  V sum[R][W];
  for (int r = 0; r < R; r++)
    for (int w = 0; w < W; w++) sum[r][w] = SN ? *(const V*)(bias + w * L) : V{} + (SM ? bias[r * SM] : T(0));
  for (int k = 0; k < K; k++) {
    V b[W];
    for (int w = 0; w < W; w++) b[w] = *(const V*)(P + k * NP + w * L);
    for (int r = 0; r < R; r++) {
      T a = A[r * AM + k * AK];
      for (int w = 0; w < W; w++) sum[r][w] += a * b[w];
    }
  }
  for (int r = 0; r < R; r++)
    for (int w = 0; w < W; w++) {
      int n = width - w * L;
      if (CN == 1 && n >= L) {
        *(V*)(C + r * CM + w * L) = sum[r][w];
      } else {
        T t[L];
        memcpy(t, &sum[r][w], sizeof t);
        for (int j = 0; j < (n < L ? n : L); j++) C[r * CM + (w * L + j) * CN] = t[j];
      }
    }
}

// C (M, N) = bias + A (M, K) B (K, N). Every size and stride is a constant: of A's m and k axis, B's k and n, ...
// scratch holds (K + 1) rows of N numbers, padded to whole vectors
template <class T, int M, int N, int K, int AM, int AK, int BK, int BN, int CM, int CN, int SM, int SN>
__attribute__((noinline)) static void gemm(const T* __restrict A, const T* __restrict B, T* __restrict C,
                                           const T* __restrict bias, T* __restrict scratch) {
  constexpr int L = BYTES / sizeof(T), NP = (N + L - 1) / L * L;
  constexpr int TILES = (M + ROWS - 1) / ROWS, R = (M + TILES - 1) / TILES, BIG = M - TILES * (R - 1);
  T* row = scratch + K * NP;
  const T* P = scratch;
  if (BN == 1 && BK == NP)
    P = B;
  else if (BN == 1)
    for (int k = 0; k < K; k++) memcpy(scratch + k * NP, B + k * BK, N * sizeof(T));
  else
    for (int n = 0; n < N; n++)
      for (int k = 0; k < K; k++) scratch[k * NP + n] = B[k * BK + n * BN];
  if (SN)
    for (int n = 0; n < N; n++) row[n] = bias[n * SN];
#define ROW_OF_TILES(W)                                                                                        \
  {                                                                                                            \
    const T* s = SN ? row + n : bias;                                                                          \
    int m = 0;                                                                                                 \
    for (int i = 0; i < BIG; i++, m += R)                                                                      \
      tile<T, R, W, K, NP, AM, AK, CM, CN, SM, SN>(A + m * AM, P + n, C + m * CM + n * CN, s + m * SM, N - n); \
    constexpr int S = R > 1 ? R - 1 : 1;                                                                       \
    if (R > 1)                                                                                                 \
      for (int i = BIG; i < TILES; i++, m += S)                                                                \
        tile<T, S, W, K, NP, AM, AK, CM, CN, SM, SN>(A + m * AM, P + n, C + m * CM + n * CN, s + m * SM, N - n); \
  }
  int n = 0;
  for (; n + 2 * L <= NP; n += 2 * L) ROW_OF_TILES(2)
  if (n < NP) ROW_OF_TILES(1)
#undef ROW_OF_TILES
}
