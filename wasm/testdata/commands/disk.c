// A collector in plain C: it needs no SDK, only standard streams.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The manifest goes into a custom section of the file, where it can be read
// without running anything.
__asm__(".section .custom_section.tocsin.manifest,\"\",@\n.incbin \"disk.json\"\n");

extern char **environ;

int main(int argc, char **argv) {
	static char request[64 << 10];
	size_t n = fread(request, 1, sizeof request - 1, stdin);
	char *used = strstr(request, "\"used\":");
	if (n == 0 || used == NULL) {
		fprintf(stderr, "looking for used\n");
		fprintf(stderr, "the configuration names no \"used\"\n");
		return 3;
	}
	double value = atof(used + strlen("\"used\":"));
	int variables = 0;
	for (char **e = environ; e && *e; e++) variables++;
	int files = fopen("/etc/passwd", "r") != NULL;
	fprintf(stderr, "read %s\n", strstr(request, "\"kind\":\"collect\"") ? "a request to collect" : "something else");
	printf("{\"outcome\":\"%s\",\"summary\":\"%g %% used\",\"error\":\"%s\",\"samples\":{\"used\":%g,\"env\":%d,\"files\":%d}}\n",
		value > 90 ? "fail" : "pass", value, value > 90 ? "nearly full" : "", value, variables, files);
	return 0;
}
