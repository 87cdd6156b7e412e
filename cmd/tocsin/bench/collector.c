// A collector in C: it looks for a number in its configuration and compares it
// with another. Built for WebAssembly it is a module, built for this machine a
// program that reads the request from its standard input.
//
//	clang --target=wasm32-wasi -mexec-model=reactor -O2 -s -o c.wasm collector.c
//	cc -static -O2 -o collector collector.c
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char request[65536], answer[256];

static int collect(void) {
  const char *used = strstr(request, "\"used\":"), *most = strstr(request, "\"most\":");
  if (!used || !most)
    return snprintf(answer, sizeof answer, "{\"outcome\":\"error\",\"error\":\"used and most are not configured\"}");
  double n = strtod(used + 7, 0), m = strtod(most + 7, 0);
  return snprintf(answer, sizeof answer, "{\"outcome\":\"%s\",\"summary\":\"%g of %g used\",\"samples\":{\"n\":%.1f}}",
                  n < m ? "pass" : "fail", n, m, n);
}

#ifdef __wasm__

#define HOST(name) __attribute__((import_module("tocsin_v1"), import_name(#name))) name
#define EXPORT(name) __attribute__((export_name(#name))) name

int HOST(input_read)(void *to, int most);
void HOST(output_write)(const void *from, int length);

int EXPORT(tocsin_abi_v1)(void) { return 1; }

int EXPORT(tocsin_describe)(void) {
  static const char manifest[] =
      "{\"abi\":\"tocsin/1\",\"name\":\"bench-c\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],"
      "\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"limits\":{}}}";
  output_write(manifest, sizeof manifest - 1);
  return 0;
}

int EXPORT(tocsin_collect)(void) {
  request[input_read(request, sizeof request - 1)] = 0;
  output_write(answer, collect());
  return 0;
}

#else

int main(void) {
  request[fread(request, 1, sizeof request - 1, stdin)] = 0;
  fwrite(answer, 1, collect(), stdout);
  return 0;
}

#endif
