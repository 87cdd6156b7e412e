// Commands that misbehave: one for each value of CASE.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef NO_MANIFEST
__asm__(".section .custom_section.tocsin.manifest,\"\",@\n"
	".ascii \"{\\\"abi\\\":\\\"tocsin/1\\\",\\\"name\\\":\\\"bad\\\",\\\"version\\\":\\\"1\\\",\\\"offers\\\":[\\\"collector\\\"],\\\"wants\\\":{}}\"\n");
#endif

static const char good[] = "{\"outcome\":\"pass\",\"summary\":\"ok\"}";

int main(void) {
#if CASE == 1 // never reads what it is asked
	puts(good);
#elif CASE == 2 // writes for ever
	for (;;) puts("all work and no play");
#elif CASE == 3 // gives up, and says why
	puts(good);
	fputs("first words\nlast words", stderr);
	exit(3);
#elif CASE == 4 // computes for ever
	for (volatile int i = 0;; i++) {}
#elif CASE == 5 // ends itself well, early
	exit(0);
#elif CASE == 6 // says too much on its log, and is well
	for (int i = 0; i < 100000; i++) fputs("a line of the log that says nothing\n", stderr);
	puts(good);
#elif CASE == 7 // reads again and again after the end
	static char b[512];
	for (int i = 0; i < 1000; i++) { clearerr(stdin); if (fread(b, 1, sizeof b, stdin) == 0 && i > 100) { puts(good); return 0; } }
	return 1;
#elif CASE == 8 // gives up without a word
	return 4;
#elif CASE == 9 // aborts
	abort();
#endif
	return 0;
}
