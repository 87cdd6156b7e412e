// A function that tries not to be pure: it answers with the time and with a
// random number.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(void) {
	struct timespec now, mono;
	unsigned random = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	getentropy(&random, sizeof random);
	printf("{\"value\":\"%lld.%09ld %ld %u\"}\n", (long long)now.tv_sec, now.tv_nsec, mono.tv_nsec, random);
	return 0;
}
