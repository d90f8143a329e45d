// Products of small matrices, of sizes that the compiler knows. It follows step.h.
#if defined(__AVX512F__)
constexpr int BYTES = 64, ROWS = 8;
#elif defined(__AVX__)
constexpr int BYTES = 32, ROWS = 6;
#else
constexpr int BYTES = 16, ROWS = 6;
#endif

// R rows times W vectors of C = bias + A P, where P is B in rows of NP numbers; the last vector of C has N lanes
template <class T, int R, int W, int N, int K, int NP, int AM, int AK, int CM, int CN, int SM, int SN>
INLINE void tile(const T* A, const T* P, T* C, const T* bias) {
  constexpr int L = BYTES / sizeof(T);
  typedef typename Vector<T, L>::type V;
  V sum[R][W];
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int w = 0; w < W; w++) sum[r][w] = SN ? load<V>(bias + w * L) : SM ? splat<V>(bias[r * SM]) : V{};
  for (int k = 0; k < K; k++) {
    V b[W];
    UNROLL for (int w = 0; w < W; w++) b[w] = load<V>(P + k * NP + w * L);
    UNROLL for (int r = 0; r < R; r++) {
      V a = splat<V>(A[r * AM + k * AK]);
      UNROLL for (int w = 0; w < W; w++) sum[r][w] = fused(a, b[w], sum[r][w]);
    }
  }
  UNROLL for (int r = 0; r < R; r++)
    UNROLL for (int w = 0; w < W; w++) {
      T* c = C + r * CM + w * L * CN;
      if constexpr (CN == 1) {
        if (w < W - 1 || N == L) save<V>(c, sum[r][w]);
        else save_part<V, N>(c, sum[r][w]);
      } else {
        T lanes[L];
        save<V>(lanes, sum[r][w]);
        NO_UNROLL for (int l = 0; l < (w < W - 1 ? L : N); l++) c[l * CN] = lanes[l];
      }
    }
}

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES
#endif
#endif

#ifdef SHUFFLES
// Two rows of a matrix in blocks of H by H numbers exchange the blocks that a transpose exchanges: the new rows
template <class V, int H, int... J> INLINE V upper(V a, V b) {
  return __builtin_shufflevector(a, b, (J & H ? LANES<V> + J - H : J)...);
}
template <class V, int H, int... J> INLINE V lower(V a, V b) {
  return __builtin_shufflevector(a, b, (J & H ? LANES<V> + J : J + H)...);
}

// The transpose of a square matrix in vectors, in blocks of 1, 2, 4, ... numbers
template <class V, int H, int... J> INLINE void transpose(V* v, Lanes<J...> lanes) {
  if constexpr (H < LANES<V>) {
    UNROLL for (int l = 0; l < LANES<V>; l++)
      if (!(l & H)) {
        V a = v[l], b = v[l + H];
        v[l] = upper<V, H, J...>(a, b);
        v[l + H] = lower<V, H, J...>(a, b);
      }
    transpose<V, 2 * H>(v, lanes);
  }
}
#endif

// The transpose of R rows of K adjacent numbers, a vector at most of each: K vectors, with 0 for rows beyond R
template <class T, int R, int K>
static __attribute__((noinline)) void transposed(const T* from, int64_t row, T* to, int64_t column) {
  constexpr int L = BYTES / sizeof(T);
#ifdef SHUFFLES
  typedef typename Vector<T, L>::type V;
  V v[L];
  UNROLL for (int r = 0; r < L; r++) {
    if (r >= R) v[r] = V{};
    else if constexpr (K == L) v[r] = load<V>(from + r * row);
    else v[r] = load_part<V, K>(from + r * row);
  }
  transpose<V, 1>(v, typename Order<L>::lanes{});
  UNROLL for (int k = 0; k < K; k++) save(to + k * column, v[k]);
#else
  for (int k = 0; k < K; k++)
    for (int r = 0; r < L; r++) to[k * column + r] = r < R ? from[r * row + k] : 0;
#endif
}

// The rows of a tile: a number that divides M, if there is one that is not small, so that all tiles are alike
constexpr int rows_of_a_tile(int M) {
  for (int rows = ROWS; rows >= ROWS / 2; rows--)
    if (M % rows == 0) return rows;
  int tiles = (M + ROWS - 1) / ROWS;
  return (M + tiles - 1) / tiles;
}

// C (M, N) = bias + A (M, K) B (K, N). Every size and stride is a constant: of A's m and k axis, B's k and n, ...
// scratch holds (K + 1) rows of N numbers, padded to whole vectors
template <class T, int M, int N, int K, int AM, int AK, int BK, int BN, int CM, int CN, int SM, int SN>
static __attribute__((noinline)) void gemm(const T* A, const T* B, T* C, const T* bias, T* scratch) {
  constexpr int L = BYTES / sizeof(T), NP = (N + L - 1) / L * L, LAST = N - NP + L;
  constexpr int R = rows_of_a_tile(M), TILES = (M + R - 1) / R, BIG = M - TILES * (R - 1);
  typedef typename Vector<T, L>::type V;
  T* row = scratch + K * NP;
  const T* P = scratch;
  if constexpr (BN == 1 && BK == NP && N == NP) {
    P = B;
  } else if constexpr (BN == 1) {
    for (int k = 0; k < K; k++) {
      for (int n = 0; n < NP - L; n += L) save(scratch + k * NP + n, load<V>(B + k * BK + n));
      save(scratch + k * NP + NP - L, load_part<V, LAST>(B + k * BK + NP - L));
    }
  } else if constexpr (BK == 1) {
    constexpr int REST = K % L;
    for (int n = 0; n < NP; n += L) {
      const T* rows = B + n * BN;
      T* to = scratch + n;
      const bool last = n == NP - L;
      for (int k = 0; k < K - REST; k += L, rows += L, to += L * NP)
        last ? transposed<T, LAST, L>(rows, BN, to, NP) : transposed<T, L, L>(rows, BN, to, NP);
      if constexpr (REST != 0)
        last ? transposed<T, LAST, REST>(rows, BN, to, NP) : transposed<T, L, REST>(rows, BN, to, NP);
    }
  } else {
    for (int n = 0; n < N; n++)
      for (int k = 0; k < K; k++) scratch[k * NP + n] = B[k * BK + n * BN];
  }
  if constexpr (SN != 0)
    for (int n = 0; n < N; n++) row[n] = bias[n * SN];
#define TILES_OF(ROWS_, W, LANES_) \
  tile<T, ROWS_, W, LANES_, K, NP, AM, AK, CM, CN, SM, SN>(A + m * AM, P + n, C + m * CM + n * CN, s + m * SM)
#define ROW_OF_TILES(W, LANES_)                                          \
  {                                                                      \
    const T* s = SN ? row + n : bias;                                    \
    int m = 0;                                                           \
    for (int i = 0; i < BIG; i++, m += R) TILES_OF(R, W, LANES_);        \
    if constexpr (BIG < TILES)                                           \
      for (int i = BIG; i < TILES; i++, m += R - 1) TILES_OF(R - 1, W, LANES_); \
  }
  constexpr int PAIRS = (NP / L - (LAST < L)) / 2 * 2 * L;  // the columns of whole pairs of vectors
  int n = 0;
  if constexpr (PAIRS > 0)
    for (; n < PAIRS; n += 2 * L) ROW_OF_TILES(2, L)
  if constexpr (NP - PAIRS == 2 * L) ROW_OF_TILES(2, LAST)
  if constexpr (NP - PAIRS == L) ROW_OF_TILES(1, LAST)
#undef ROW_OF_TILES
#undef TILES_OF
}
