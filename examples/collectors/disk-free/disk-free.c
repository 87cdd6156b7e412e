/* A collector that asks a JSON endpoint how full its disks are. See README.md. */
#include "tocsin.h"

TOCSIN_MANIFEST({
	"abi": "tocsin/1",
	"name": "disk-free",
	"version": "1.0.0",
	"doc": "How much room is left on the disks that a JSON endpoint reports.",
	"author": "Tocsin",
	"offers": ["collector"],
	"config_schema": {
		"type": "object",
		"additionalProperties": false,
		"required": ["url"],
		"properties": {
			"url": {"type": "string", "format": "uri", "description": "where {\"disks\": [{\"mount\", \"total_bytes\", \"free_bytes\"}]} is"},
			"mount": {"type": "string", "default": "", "description": "the disk to look at; empty: the fullest"},
			"warn_percent": {"type": "number", "minimum": 0, "maximum": 100, "default": 15, "description": "warn when less is free"},
			"fail_percent": {"type": "number", "minimum": 0, "maximum": 100, "default": 5, "description": "fail when less is free"},
			"token": {"type": "string", "default": "", "description": "sent as a bearer token; write {secret: disk-token}"}
		}
	},
	"samples": [
		{"name": "free_percent", "type": "number", "unit": "%", "doc": "of the disk, free"},
		{"name": "free_bytes", "type": "integer", "unit": "B", "doc": "of the disk, free"},
		{"name": "mount", "type": "string", "doc": "where the disk is mounted"},
		{"name": "disks", "type": "integer", "doc": "disks that were reported"}
	],
	"wants": {"http": ["http://*:*", "https://*:*"], "private": true, "secrets": ["disk-token"]}
})

/* fetch asks for the report, with a token when one is configured. Written as
 * {secret: disk-token} in the check, it is a handle here, and the host puts the
 * secret in its place when the request leaves. */
static const tocsin_json *fetch(const char *url, const char *token, tocsin_error *err)
{
	tocsin_json *headers = tocsin_set(tocsin_object(), "Accept", tocsin_from_text("application/json"));
	if (*token)
		tocsin_set(headers, "Authorization", tocsin_from_text(tocsin_format("Bearer %s", token)));
	return tocsin_fetch(tocsin_set(tocsin_request(url), "headers", headers), err);
}

TOCSIN_COLLECT(run)
{
	const char *url = tocsin_config_text(run, "url", "");
	const char *mount = tocsin_config_text(run, "mount", "");
	double warn = tocsin_config_num(run, "warn_percent", 15), fail = tocsin_config_num(run, "fail_percent", 5);

	tocsin_error err;
	const tocsin_json *report = fetch(url, tocsin_config_text(run, "token", ""), &err);
	if (!report)
		return tocsin_unreached(&err);

	const tocsin_json *disks = tocsin_get(report, "disks"), *found = NULL;
	double percent = 0;
	for (size_t i = 0; i < tocsin_len(disks); i++) {
		const tocsin_json *disk = tocsin_at(disks, i);
		double total = tocsin_num(tocsin_get(disk, "total_bytes"), 0), left = tocsin_num(tocsin_get(disk, "free_bytes"), -1);
		if (total <= 0 || left < 0) {
			tocsin_log(TOCSIN_WARN, "disk %zu has no size and is left out", i + 1);
			continue;
		}
		if (*mount && strcmp(mount, tocsin_text(tocsin_get(disk, "mount"), "")))
			continue;
		if (!found || left / total * 100 < percent) {
			found = disk;
			percent = left / total * 100;
		}
	}
	if (!found && *mount)
		return tocsin_fail("%s reports no disk at %s", url, mount);
	if (!found)
		return tocsin_fail("%s reports no disks", url);

	const char *where = tocsin_text(tocsin_get(found, "mount"), "?");
	tocsin_answer *a;
	if (percent < fail)
		a = tocsin_fail("%.1f %% of %s are free, %g %% are needed", percent, where, fail);
	else if (percent < warn)
		a = tocsin_warn("%.1f %% of %s are free, the warning is at %g %%", percent, where, warn);
	else
		a = tocsin_pass("%.1f %% of %s are free", percent, where);
	tocsin_sample_num(a, "free_percent", percent);
	tocsin_sample_num(a, "free_bytes", tocsin_num(tocsin_get(found, "free_bytes"), 0));
	tocsin_sample_text(a, "mount", where);
	return tocsin_sample_num(a, "disks", (double)tocsin_len(disks));
}
