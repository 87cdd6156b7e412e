// A reactor that looks for what an earlier run left, and leaves something
// wherever it can: each word of its memory gets a value that its address
// gives, so that nothing else can be taken for it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((import_module("tocsin_v1"), import_name("output_write"))) void output_write(const char *text, size_t length);

static uint64_t mark(uintptr_t at) { return (uint64_t)at * 0x9e3779b97f4a7c15u ^ 0x5ca1ab1e5ca1ab1eu; }

static uint64_t zeroed[8192];
static uint64_t filled[1024] = {1, 2, 3};
static int runs;
static char *kept;

static void stain(uint64_t *from, uint64_t *to) {
  for (; from < to; from++)
    *(volatile uint64_t *)from = mark((uintptr_t)from);
}

__attribute__((noinline)) static uint64_t deep(int n) {
  uint64_t frame[64];
  stain(frame, frame + 64);
  return n > 0 ? deep(n - 1) + ((volatile uint64_t *)frame)[n % 64] : 0;
}

__attribute__((export_name("tocsin_abi_v1"))) void marker(void) {}
__attribute__((export_name("tocsin_describe"))) int describe(void) { return 0; }

__attribute__((export_name("tocsin_collect"))) int collect(void) {
  char answer[200];
  uintptr_t end = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
  int found = 0;
  for (uintptr_t at = 1024; at < end; at += 8)
    found += *(volatile uint64_t *)at == mark(at);
  if (runs++ != 0 || kept != NULL || filled[0] != 1 || filled[2] != 3 || zeroed[7] != 0)
    found += 1000000;
  snprintf(answer, sizeof answer, "{\"outcome\":\"%s\",\"summary\":\"%d words of %zu bytes\"}", found ? "fail" : "pass", found, (size_t)end);
  output_write(answer, strlen(answer));

  kept = malloc(3 << 20); // which grows the memory
  stain((uint64_t *)kept, (uint64_t *)(kept + (3 << 20)));
  for (int i = 0; i < 100; i++) {
    uint64_t *small = malloc(1000);
    stain(small, small + 125);
    if (i % 2)
      free(small);
  }
  deep(60);
  stain(zeroed, zeroed + 8192);
  stain(filled, filled + 1024);
  uintptr_t last = (uintptr_t)__builtin_wasm_memory_grow(0, 4) << 16;
  stain((uint64_t *)last, (uint64_t *)(last + (4 << 16)));
  return 0;
}
