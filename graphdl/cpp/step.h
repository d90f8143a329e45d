// What a compiled training step is made of: vectors and mathematics on them. Products of matrices are in products.h.
// Nothing is left to the compiler's choice: vectors are written, and so is the order of every sum.
#include <stdint.h>

// What a call is given, and what it returns
typedef void call_t(int64_t, void**);
struct Work {
  void **given, **results;
  char* workspace;
  call_t* call;         // makes what is left to torch
  const int64_t* rows;  // of each step's batch; null where batches lie side by side
  int64_t count, made;
  bool whole;           // whether no call of torch failed
};

#define MOVING(number) (number)  // an integer that may differ from turn to turn of a loop
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")
#define NO_UNROLL _Pragma("GCC unroll 1")

template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<T&> { typedef T type; };
template <class T> struct Plain<T&&> { typedef T type; };
template <class T, int L> struct Vector { typedef T type __attribute__((vector_size(L * sizeof(T)))); };
template <class V> using Element = typename Plain<decltype(V{}[0])>::type;
template <class V> constexpr int LANES = sizeof(V) / sizeof(V{}[0]);
template <int... J> struct Lanes {};
template <int L> struct Order;

#define TYPES(L, ...)                                                \
  typedef int8_t i8x##L __attribute__((vector_size(L)));             \
  typedef uint8_t u8x##L __attribute__((vector_size(L)));            \
  typedef int16_t i16x##L __attribute__((vector_size(2 * L)));       \
  typedef int32_t i32x##L __attribute__((vector_size(4 * L)));       \
  typedef int64_t i64x##L __attribute__((vector_size(8 * L)));       \
  typedef float f32x##L __attribute__((vector_size(4 * L)));         \
  typedef double f64x##L __attribute__((vector_size(8 * L)));        \
  template <> struct Order<L> {                                      \
    typedef Lanes<__VA_ARGS__> lanes;                                \
    INLINE i8x##L counted() { return i8x##L{__VA_ARGS__}; }          \
  };
TYPES(2, 0, 1)
TYPES(4, 0, 1, 2, 3)
TYPES(8, 0, 1, 2, 3, 4, 5, 6, 7)
TYPES(16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#undef TYPES

// A number in every lane; n, n + 1, n + 2, ...; the first N lanes of x, and another number in the rest
template <class V> INLINE V splat(Element<V> x) { return x - V{}; }
template <class V> INLINE V counting(Element<V> n) { return n + __builtin_convertvector(Order<LANES<V>>::counted(), V); }
template <class V, int N> INLINE V only(V x, Element<V> other) {
  typedef decltype(x < x) M;
  return __builtin_convertvector(Order<LANES<V>>::counted(), M) < N ? x : splat<V>(other);
}

// Memory, of which the first N lanes are read or written, and the others are 0: nothing behind them is touched
template <class V> INLINE V load(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V> INLINE void save(void* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
#ifdef __AVX512VL__
#ifdef __clang__
typedef f32x8 masked_f32;
typedef f64x4 masked_f64;
#else
typedef float masked_f32;
typedef double masked_f64;
#endif
#define MASKED(V_, P, kind)                                      \
  if constexpr (sizeof(V) == sizeof(V_) && LANES<V> == LANES<V_>) \
    return (V)__builtin_ia32_load##kind##_mask((const P*)p, V_{}, (1 << N) - 1);
#define MASKED_PARTS(DO) \
  DO(f32x16, float, ups512) DO(f64x8, double, upd512) DO(f32x8, masked_f32, ups256) DO(f64x4, masked_f64, upd256)
#else
#define MASKED_PARTS(DO)
#endif
template <class V, int N> INLINE V load_part(const void* p) {
  MASKED_PARTS(MASKED)
  V v = {};
  __builtin_memcpy(&v, p, N * sizeof(Element<V>));
  return v;
}
#undef MASKED
#define MASKED(V_, P, kind)                                      \
  if constexpr (sizeof(V) == sizeof(V_) && LANES<V> == LANES<V_>) \
    return __builtin_ia32_store##kind##_mask((P*)p, (V_)v, (1 << N) - 1);
template <class V, int N> INLINE void save_part(void* p, V v) {
  MASKED_PARTS(MASKED)
  __builtin_memcpy(p, &v, N * sizeof(Element<V>));
}
#undef MASKED

// Lanes that lie apart in memory, or where an index says
template <class V, int N, class T> INLINE V load_apart(const T* p, int64_t stride) {
  V v = {};
  UNROLL for (int k = 0; k < N; k++) v[k] = p[k * stride];
  return v;
}
template <class V, int N, class T> INLINE void save_apart(T* p, int64_t stride, V v) {
  UNROLL for (int k = 0; k < N; k++) p[k * stride] = v[k];
}
template <class V, int N, class T, class I> INLINE V look_up(const T* p, int64_t stride, I index, int64_t along) {
  V v = {};
  UNROLL for (int k = 0; k < N; k++) v[k] = p[k * stride + index[k] * along];
  return v;
}

// How elements are taken together; what is not a number stays so
struct Sum { template <class T> INLINE T of(T a, T b) { return a + b; } };
struct Product { template <class T> INLINE T of(T a, T b) { return a * b; } };
struct Largest { template <class T> INLINE T of(T a, T b) { return ((a > b) | (a != a)) ? a : b; } };
struct Smallest { template <class T> INLINE T of(T a, T b) { return ((a < b) | (a != a)) ? a : b; } };

// All lanes taken together: the upper half with the lower half, until one is left
template <class F, class V> INLINE Element<V> together(V v) {
  constexpr int L = LANES<V>;
  if constexpr (L == 2) {
    return F::of(v[0], v[1]);
  } else {
    typename Vector<Element<V>, L / 2>::type lower, upper;
    __builtin_memcpy(&lower, &v, sizeof lower);
#if defined(__clang__) || __GNUC__ >= 12
    if constexpr (L == 4) upper = __builtin_shufflevector(v, v, 2, 3);
    else if constexpr (L == 8) upper = __builtin_shufflevector(v, v, 4, 5, 6, 7);
    else if constexpr (L == 16) upper = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    else
#endif
    __builtin_memcpy(&upper, (const char*)&v + sizeof lower, sizeof upper);
    return together<F>(F::of(lower, upper));
  }
}

// Mathematics: the vector functions of the C library where it has them, else lane by lane
#define SCALAR(name)                                                       \
  INLINE float v##name(float x) { return __builtin_##name##f(x); }         \
  INLINE double v##name(double x) { return __builtin_##name(x); }          \
  template <class V> INLINE V v##name(V x) {                               \
    V y = {};                                                              \
    UNROLL for (int k = 0; k < LANES<V>; k++) y[k] = v##name(x[k]);        \
    return y;                                                              \
  }
#define VECTOR(name, symbol, V)                          \
  extern "C" V symbol(V) noexcept;                       \
  INLINE V v##name(V x) { return symbol(x); }
#define NONE(name)
#if defined(__x86_64__) && defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 35)
#define SHORT(name) VECTOR(name, _ZGVbN4v_##name##f, f32x4) VECTOR(name, _ZGVbN2v_##name, f64x2)
#endif
#endif
#if defined(SHORT) && defined(__AVX2__)
#define MIDDLE(name) VECTOR(name, _ZGVdN8v_##name##f, f32x8) VECTOR(name, _ZGVdN4v_##name, f64x4)
#else
#define MIDDLE NONE
#endif
#if defined(SHORT) && defined(__AVX512F__)
#define LONG(name) VECTOR(name, _ZGVeN16v_##name##f, f32x16) VECTOR(name, _ZGVeN8v_##name, f64x8)
#else
#define LONG NONE
#endif
#ifndef SHORT
#define SHORT NONE
#endif
#define MATH(name) SCALAR(name) SHORT(name) MIDDLE(name) LONG(name)
MATH(exp) MATH(exp2) MATH(expm1) MATH(log) MATH(log2) MATH(log10) MATH(log1p) MATH(sin) MATH(cos) MATH(tan) MATH(sinh)
MATH(cosh) MATH(tanh) MATH(asin) MATH(acos) MATH(atan) MATH(asinh) MATH(acosh) MATH(atanh) MATH(erf) MATH(erfc)
SCALAR(sqrt) SCALAR(fabs) SCALAR(floor) SCALAR(ceil) SCALAR(trunc) SCALAR(nearbyint)
INLINE float vpow(float x, float y) { return __builtin_powf(x, y); }
INLINE double vpow(double x, double y) { return __builtin_pow(x, y); }
template <class V> INLINE V vpow(V x, V y) {
  V z = {};
  UNROLL for (int k = 0; k < LANES<V>; k++) z[k] = vpow(x[k], y[k]);
  return z;
}

// sqrt(x), and a b + c in one rounding where the processor has it
template <class V> INLINE V fused(V a, V b, V c) { return a * b + c; }
#ifdef __SSE2__
INLINE f32x4 vsqrt(f32x4 x) { return __builtin_ia32_sqrtps(x); }
INLINE f64x2 vsqrt(f64x2 x) { return __builtin_ia32_sqrtpd(x); }
#endif
#ifdef __AVX__
INLINE f32x8 vsqrt(f32x8 x) { return __builtin_ia32_sqrtps256(x); }
INLINE f64x4 vsqrt(f64x4 x) { return __builtin_ia32_sqrtpd256(x); }
#endif
#ifdef __FMA__
INLINE f32x4 fused(f32x4 a, f32x4 b, f32x4 c) { return __builtin_ia32_vfmaddps(a, b, c); }
INLINE f64x2 fused(f64x2 a, f64x2 b, f64x2 c) { return __builtin_ia32_vfmaddpd(a, b, c); }
INLINE f32x8 fused(f32x8 a, f32x8 b, f32x8 c) { return __builtin_ia32_vfmaddps256(a, b, c); }
INLINE f64x4 fused(f64x4 a, f64x4 b, f64x4 c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
#endif
#ifdef __AVX512F__
#ifdef __clang__
INLINE f32x16 vsqrt(f32x16 x) { return __builtin_ia32_sqrtps512(x, 4); }
INLINE f64x8 vsqrt(f64x8 x) { return __builtin_ia32_sqrtpd512(x, 4); }
#else
INLINE f32x16 vsqrt(f32x16 x) { return __builtin_ia32_sqrtps512_mask(x, x, -1, 4); }
INLINE f64x8 vsqrt(f64x8 x) { return __builtin_ia32_sqrtpd512_mask(x, x, -1, 4); }
#endif
INLINE f32x16 fused(f32x16 a, f32x16 b, f32x16 c) { return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4); }
INLINE f64x8 fused(f64x8 a, f64x8 b, f64x8 c) { return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4); }
#endif

// While one of these lives, numbers too small to be written in full count as 0: the moments of a parameter whose gradient
// has become 0 fade through them, and each would cost a hundred cycles. The thread gets its own setting back
struct Flushing {
#ifdef __SSE__
  unsigned before = __builtin_ia32_stmxcsr();
  Flushing() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~Flushing() { __builtin_ia32_ldmxcsr(before); }
#endif
};

// A batch of N rows of so many bytes, chosen from a data set
template <int64_t N, int64_t SIZE> INLINE char* choose(const char* data, const int64_t* rows, char* batch) {
  for (int64_t i = 0; i < N; i++) __builtin_memcpy(batch + i * SIZE, data + rows[i] * SIZE, SIZE);
  return batch;
}

// Whether an index leads out of its axis
template <class T> static bool outside(const T* index, int64_t count, int64_t size, bool ignoring, int64_t ignored) {
  bool wrong = false;
  for (int64_t i = 0; i < count; i++)
    wrong |= (uint64_t)index[i] >= (uint64_t)size && !(ignoring && (int64_t)index[i] == ignored);
  return wrong;
}
