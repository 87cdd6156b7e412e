/* Tests of tocsin.h with a host of their own. Built natively and run by
 * wasm/guest/sdk_test.go. */
#include "tocsin.h"

static int failures;
static const char *input = "";
static size_t input_at;
static char asked[4096], output[8192], logged[4096];

uint32_t tocsin_host_input_length(void) { return (uint32_t)(strlen(input) - input_at); }
uint32_t tocsin_host_input_read(void *to, uint32_t n)
{
	if (n > 7)
		n = 7; /* the host may hand out less than was asked for */
	if (n > tocsin_host_input_length())
		n = tocsin_host_input_length();
	memcpy(to, input + input_at, n);
	input_at += n;
	return n;
}
void tocsin_host_output_write(const void *from, uint32_t n) { snprintf(output, sizeof output, "%.*s", (int)n, (const char *)from); }
void tocsin_host_log(uint32_t level, const char *text, uint32_t n)
{
	(void)level;
	snprintf(logged, sizeof logged, "%.*s", (int)n, text);
}
int64_t tocsin_host_now(void) { return 7; }
void tocsin_host_random(void *to, uint32_t n) { memset(to, 9, n); }

static void give(const char *text)
{
	input = text;
	input_at = 0;
}

void tocsin_host_call(const char *name, const char *text, uint32_t n)
{
	snprintf(asked, sizeof asked, "%s %.*s", name, (int)n, text);
	if (!strcmp(name, "http")) {
		if (strstr(text, "http://page/"))
			give("{\"status\":200,\"body\":\"{\\\"n\\\":3}\"}");
		else if (strstr(text, "http://broken/"))
			give("{\"status\":502}");
		else if (strstr(text, "http://text/"))
			give("{\"status\":200,\"body\":\"hello\"}");
		else
			give("{\"error\":{\"code\":\"denied\",\"message\":\"not granted\"}}");
	} else if (!strcmp(name, "tcp"))
		give(strstr(text, "dial") ? "{\"conn\":4}" : strstr(text, "receive") ? "{\"data\":\"+OK\\r\\n\"}" : "{}");
	else if (!strcmp(name, "tls_info"))
		give("{\"verified\":true}");
	else if (!strcmp(name, "dns"))
		give("{\"records\":[\"192.0.2.1\"]}");
	else if (!strcmp(name, "kv_get"))
		give(strstr(text, "\"k\"") ? "{\"found\":true,\"value\":\"v\"}" : "{\"found\":false}");
	else if (!strcmp(name, "kv_set"))
		give("{\"error\":{\"code\":\"quota\",\"message\":\"full\"}}");
	else if (!strcmp(name, "secret"))
		give("{\"handle\":\"h\"}");
	else
		give("what?");
}

static void want(const char *what, const char *got, const char *wanted)
{
	if (!got || strcmp(got, wanted)) {
		printf("%s: got %s, want %s\n", what, got ? got : "(nothing)", wanted);
		failures++;
	}
}

static void want_true(const char *what, bool ok)
{
	if (!ok) {
		printf("%s does not hold\n", what);
		failures++;
	}
}

static void test_json(void)
{
	static const char *const good[][2] = {
		{ "null", "null" }, { " true ", "true" }, { "false", "false" }, { "0", "0" }, { "-0.5", "-0.5" }, { "1.50", "1.5" },
		{ "1e3", "1000" }, { "12345678901", "12345678901" }, { "0.1", "0.1" }, { "9007199254740992", "9007199254740992" }, { "1e21", "1e+21" },
		{ "\"\"", "\"\"" }, { "\"a\\\"\\\\\\/\\b\\n\\tz\"", "\"a\\\"\\\\/\\u0008\\u000a\\u0009z\"" },
		{ "\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\"é€😀\"" }, { "\"\\ud83d\"", "\"\xef\xbf\xbd\"" }, { "\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd" "A\"" },
		{ "[]", "[]" }, { "[ 1 , [2] , {} ]", "[1,[2],{}]" }, { "{ \"a\" : 1, \"b\":{\"c\":[null]} }", "{\"a\":1,\"b\":{\"c\":[null]}}" },
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		const char *wrong = "";
		tocsin_json *v = tocsin_parse(good[i][0], strlen(good[i][0]), &wrong);
		want(good[i][0], v ? tocsin_write(v) : wrong, good[i][1]);
	}
	static const char *const bad[][2] = {
		{ "", "JSON, byte 1: the document ends" }, { "[1,", "JSON, byte 4: the document ends" }, { "[1 2]", "JSON, byte 4: a comma" },
		{ "[1,]", "JSON, byte 4: a value" }, { "{1:2}", "JSON, byte 2: the name of a field" }, { "{\"a\" 1}", "JSON, byte 6: a colon" },
		{ "01", "JSON, byte 3: this is not a number" }, { "-", "JSON, byte 2: this is not a number" }, { "1.", "JSON, byte 3: digits" },
		{ "1e", "JSON, byte 3: digits" }, { "1e999", "JSON, byte 6: the number is too large" }, { "\"a", "JSON, byte 2: the text does not end" },
		{ "\"a\\\"", "JSON, byte 2: the text does not end" }, { "\"a\n\"", "JSON, byte 4: a control character" }, { "\"\\x\"", "JSON, byte 4: there is no such escape" },
		{ "\"\\u12\"", "JSON, byte 6: four hexadecimal digits" }, { "nul", "JSON, byte 1: a value" }, { "1 2", "JSON, byte 3: the document goes on" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const char *wrong = "";
		tocsin_json *v = tocsin_parse(bad[i][0], strlen(bad[i][0]), &wrong);
		if (v || strncmp(wrong, bad[i][1], strlen(bad[i][1]))) {
			printf("%s: got %s, want %s\n", bad[i][0], v ? tocsin_write(v) : wrong, bad[i][1]);
			failures++;
		}
	}
	char deep[300];
	memset(deep, '[', 200);
	const char *wrong = "";
	want_true("a document that nests too deep is refused", !tocsin_parse(deep, 200, &wrong) && strstr(wrong, "nests too deep"));
	memset(deep, '[', 128);
	memset(deep + 128, ']', 128);
	want_true("128 levels are read", tocsin_parse(deep, 256, &wrong));

	/* Every beginning and every document with one byte changed ends well. */
	static const char whole[] = "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\ud83d\\ude00\\n\"],\"b\":{\"c\":false}}";
	for (size_t n = 0; n < sizeof whole - 1; n++) {
		char *part = malloc(n + 1); /* so that a reader that goes too far is found */
		memcpy(part, whole, n);
		want_true(whole, !tocsin_parse(part, n, &wrong));
		free(part);
	}
	for (size_t i = 0; i < sizeof whole - 1; i++)
		for (int c = 0; c < 256; c++) {
			char *changed = malloc(sizeof whole - 1);
			memcpy(changed, whole, sizeof whole - 1);
			changed[i] = (char)c;
			tocsin_json *v = tocsin_parse(changed, sizeof whole - 1, &wrong);
			if (v) {
				const char *text = tocsin_write(v);
				tocsin_json *again = tocsin_parse(text, strlen(text), &wrong);
				want(text, again ? tocsin_write(again) : wrong, text);
			}
			free(changed);
			tocsin_free_all();
		}
	const char *text = "{\"n\":3,\"t\":\"x\",\"l\":[1.5,2.5],\"b\":true,\"a\":1,\"a\":2}";
	const tocsin_json *v = tocsin_parse(text, strlen(text), &wrong);
	want_true("numbers", tocsin_num(tocsin_get(v, "n"), 0) == 3 && tocsin_num(tocsin_get(v, "t"), 7) == 7 && tocsin_num(tocsin_get(v, "a"), 0) == 2);
	want_true("lists", tocsin_num(tocsin_at(tocsin_get(v, "l"), 1), 0) == 2.5 && tocsin_len(tocsin_get(v, "l")) == 2 && !tocsin_at(tocsin_get(v, "l"), 2));
	want_true("what is not there", !tocsin_get(tocsin_get(v, "gone"), "deeper") && !tocsin_at(NULL, 0) && tocsin_len(NULL) == 0 && tocsin_bool(NULL, true));
	want("a text", tocsin_text(tocsin_get(v, "t"), ""), "x");
	want("not a number", tocsin_write(tocsin_from_num(NAN)), "null");
}

TOCSIN_MANIFEST({"abi": "tocsin/1", "name": "jobs", "doc": "say \"hi\"", "offers": ["collector"], "wants": {}})

TOCSIN_COLLECT(run)
{
	tocsin_error err;
	const char *url = tocsin_config_text(run, "url", "http://page/");
	tocsin_log(TOCSIN_INFO, "asking %s", url);
	if (!strcmp(url, "true"))
		return tocsin_holds(true);
	if (!strcmp(url, "false"))
		return tocsin_holds(false);
	if (!strcmp(url, "value"))
		return tocsin_value(2.5);
	const tocsin_json *page = tocsin_fetch_json(url, &err);
	if (!page)
		return tocsin_unreached(&err);
	tocsin_answer *a = tocsin_warn("%g of %g", tocsin_num(tocsin_get(page, "n"), 0), tocsin_config_num(run, "max", 100));
	return tocsin_sample_text(tocsin_sample_bool(tocsin_sample_num(a, "n", 3), "ok", true), "t", "x");
}

TOCSIN_ACT(run)
{
	if (tocsin_config_bool(run, "full", false))
		return tocsin_again(2000, "full");
	return tocsin_output(tocsin_pass("told"), "id", tocsin_from_text(tocsin_text(tocsin_get(tocsin_get(run, "step"), "key"), "")));
}

static void test_answers(void)
{
	static const char *const cases[][2] = {
		{ "{\"config\":{}}", "{\"outcome\":\"warn\",\"summary\":\"3 of 100\",\"error\":\"3 of 100\",\"samples\":{\"n\":3,\"ok\":true,\"t\":\"x\"}}" },
		{ "{\"config\":{\"url\":\"http://other/\"}}", "{\"outcome\":\"error\",\"error\":\"not granted (denied)\"}" },
		{ "{\"config\":{\"url\":\"http://broken/\"}}", "{\"outcome\":\"fail\",\"summary\":\"http://broken/ answered 502\",\"error\":\"http://broken/ answered 502\"}" },
		{ "{\"config\":{\"url\":\"true\"}}", "{\"outcome\":\"pass\"}" },
		{ "{\"config\":{\"url\":\"false\"}}", "{\"outcome\":\"fail\",\"summary\":\"it does not hold\",\"error\":\"it does not hold\"}" },
		{ "{\"config\":{\"url\":\"value\"}}", "{\"outcome\":\"pass\",\"summary\":\"2.5\",\"samples\":{\"value\":2.5}}" },
		{ "{", "{\"outcome\":\"error\",\"error\":\"request: JSON, byte 2: the name of a field is expected\"}" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		give(cases[i][0]);
		want_true("collect returns 0", tocsin_collect() == 0);
		want(cases[i][0], output, cases[i][1]);
	}
	give("{\"config\":{\"url\":\"http://text/\"}}");
	tocsin_collect();
	want_true(output, strstr(output, "http://text/ answered something else than JSON: JSON, byte 1: a value is expected"));
	want("the log", logged, "asking http://text/");
	give("{\"config\":{\"full\":true}}");
	tocsin_act();
	want("an action that is full", output, "{\"outcome\":\"error\",\"error\":\"full\",\"retry_after_ms\":2000}");
	give("{\"config\":{},\"step\":{\"key\":\"k\"}}");
	tocsin_act();
	want("an action", output, "{\"outcome\":\"pass\",\"summary\":\"told\",\"output\":{\"id\":\"k\"}}");
	tocsin_describe();
	const char *wrong = "";
	tocsin_json *manifest = tocsin_parse(output, strlen(output), &wrong);
	want("the manifest", manifest ? tocsin_text(tocsin_get(manifest, "doc"), "") : wrong, "say \"hi\"");
	want_true("the mark", tocsin_abi_v1() == 1);
}

static void test_calls(void)
{
	tocsin_error err = { "", "" };
	want_true("dial", tocsin_tcp_dial("a:1", true, &err) == 4);
	want("dial", asked, "tcp {\"op\":\"dial\",\"address\":\"a:1\",\"tls\":true}");
	want_true("send", tocsin_tcp_send(4, "PING", &err));
	want("send", asked, "tcp {\"op\":\"send\",\"conn\":4,\"data\":\"PING\"}");
	want("receive", tocsin_text(tocsin_get(tocsin_tcp_receive(4, "\r\n", &err), "data"), ""), "+OK\r\n");
	want_true("close", tocsin_tcp_close(4, &err));
	want_true("tls_info", tocsin_bool(tocsin_get(tocsin_tls_info("a", &err), "verified"), false));
	want("dns", tocsin_text(tocsin_at(tocsin_dns("a", "A", &err), 0), ""), "192.0.2.1");
	want("kv_get", tocsin_kv_get("k", &err), "v");
	want_true("kv_get of nothing", !tocsin_kv_get("none", &err) && !*err.code);
	want_true("kv_set", !tocsin_kv_set("k", "v", &err) && !strcmp(err.code, "quota") && tocsin_is_ours(&err));
	tocsin_kv_set("k", NULL, NULL);
	want("kv_set", asked, "kv_set {\"key\":\"k\",\"delete\":true}");
	want("secret", tocsin_secret("s", &err), "h");
	want_true("reveal", !tocsin_reveal("s", &err) && strstr(err.message, "reveal: answer of the host: JSON, byte 1"));
	static const char *const theirs[] = { "timeout", "dns", "connect", "tls", "redirects", "protocol", "" };
	for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
		want_true(theirs[i], !tocsin_is_ours(&(tocsin_error){ theirs[i], "" }));
	unsigned char b[2];
	tocsin_random(b, 2);
	want_true("now and random", tocsin_now() == 7 && b[0] == 9 && b[1] == 9);
}

int main(void)
{
	test_json();
	test_answers();
	test_calls();
	tocsin_free_all();
	if (failures)
		printf("%d failures\n", failures);
	return failures != 0;
}
