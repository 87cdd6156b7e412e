package examples_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// documents are those of a file of YAML, as JSON knows them.
func documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	var out []map[string]any
	for d := yaml.NewDecoder(f); ; {
		var document map[string]any
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		plain, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, plain.(map[string]any))
	}
}

// schema compiles a part of a file in testdata.
func schema(t *testing.T, file, part string) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", text); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json" + part)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at follows keys, and numbers of elements, into a document.
func at(t *testing.T, document any, path ...any) any {
	t.Helper()
	for i, key := range path {
		switch k := key.(type) {
		case string:
			object, _ := document.(map[string]any)
			document = object[k]
		case int:
			list, _ := document.([]any)
			if k >= len(list) {
				t.Fatalf("there is nothing at %v", path[:i+1])
			}
			document = list[k]
		}
	}
	if document == nil {
		t.Fatalf("there is nothing at %v", path)
	}
	return document
}

func texts(list any) []string {
	var out []string
	for _, item := range list.([]any) {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

// serves holds arguments to the help of `tocsin serve`, and what is in the
// environment to what that names.
func serves(t *testing.T, where string, args []string, variables ...string) {
	t.Helper()
	known, err := help()
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 || args[0] != "serve" {
		t.Fatalf("%s: it runs %q, want serve", where, args)
	}
	for _, arg := range args[1:] {
		flag, value, given := strings.Cut(arg, "=")
		if !given || value == "" || !regexp.MustCompile(`(?m)^ +`+regexp.QuoteMeta(flag)+` `).MatchString(known) {
			t.Errorf("%s: serve has no flag %s, or it has no value", where, arg)
		}
	}
	for _, name := range variables {
		if !strings.HasPrefix(name, "PG") && !strings.Contains(known, name) {
			t.Errorf("%s: serve does not know the variable %s", where, name)
		}
	}
}

// help is what `tocsin serve --help` prints.
var help = sync.OnceValues(func() (string, error) {
	path, err := tocsin()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, "serve", "--help").Output()
	return string(out), err
})

func TestDeployCompose(t *testing.T) {
	t.Parallel()
	const path = "deploy/compose/compose.yaml"
	compose := documents(t, path)[0]
	if err := schema(t, "compose.json", "").Validate(compose); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	upstreams := regexp.MustCompile(`\{\$TOCSIN_NODES:([^}]*)\}`).FindStringSubmatch(text(t, "deploy/compose/Caddyfile"))
	if upstreams == nil {
		t.Fatal("the Caddyfile names no nodes")
	}
	nodes := strings.Fields(upstreams[1])
	if len(nodes) != 3 {
		t.Errorf("the proxy asks %v, want three nodes", nodes)
	}
	for _, node := range nodes {
		name, port, _ := strings.Cut(node, ":")
		where := path + " " + name
		service := at(t, compose, "services", name)
		args := texts(at(t, service, "command"))
		environment := at(t, service, "environment").(map[string]any)
		serves(t, where, args, slices.Collect(maps.Keys(environment))...)
		if !slices.Contains(args, "--listen=0.0.0.0:"+port) {
			t.Errorf("%s: it listens elsewhere than the proxy asks, %s: %v", where, node, args)
		}
		for _, key := range texts(at(t, service, "secrets")) {
			at(t, compose, "secrets", key)
			if !slices.Contains(args, "--secret-key=/run/secrets/"+key) {
				t.Errorf("%s: the secret %s is not its key: %v", where, key, args)
			}
		}
		if at(t, service, "hostname") != name || at(t, service, "read_only") != true {
			t.Errorf("%s: it must have a name of its own and a file system that is read only", where)
		}
		for _, volume := range texts(at(t, service, "volumes")) {
			name, _, _ := strings.Cut(volume, ":")
			if volumes := compose["volumes"].(map[string]any); !slices.Contains(slices.Collect(maps.Keys(volumes)), name) {
				t.Errorf("%s: there is no volume %s", where, name)
			}
		}
	}
	image(t)
}

// image holds the Dockerfile to what the examples take for granted.
func image(t *testing.T) {
	t.Helper()
	docker := text(t, "../Dockerfile")
	for _, want := range []string{"USER 65532:65532", "VOLUME /data", "EXPOSE 8420", `ENTRYPOINT ["/tocsin"]`, "/tmp /tmp"} {
		if !strings.Contains(docker, want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
	m := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(docker)
	var words, args []string
	if m == nil || json.Unmarshal([]byte(m[1]), &words) != nil {
		t.Fatalf("the Dockerfile has no command: %v", m)
	}
	for _, word := range words {
		if n := len(args); n > 0 && strings.HasPrefix(args[n-1], "--") && !strings.HasPrefix(word, "--") {
			args[n-1] += "=" + word
			continue
		}
		args = append(args, word)
	}
	serves(t, "Dockerfile", args)
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDeployKubernetes(t *testing.T) {
	t.Parallel()
	const dir = "deploy/kubernetes/"
	kinds := map[string]string{
		"Namespace": "io.k8s.api.core.v1.Namespace", "Service": "io.k8s.api.core.v1.Service",
		"StatefulSet": "io.k8s.api.apps.v1.StatefulSet", "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
	}
	found := map[string]map[string]any{}
	used := texts(at(t, documents(t, dir+"kustomization.yaml")[0], "resources"))
	for _, name := range used {
		for _, document := range documents(t, dir+name) {
			kind := at(t, document, "kind").(string)
			if kinds[kind] == "" {
				t.Fatalf("%s: there is no schema of %s", name, kind)
			}
			if err := schema(t, "kubernetes.json", "#/$defs/"+kinds[kind]).Validate(document); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			found[kind+" "+at(t, document, "metadata", "name").(string)] = document
		}
	}
	files, err := filepath.Glob(dir + "*.yaml")
	if err != nil || len(files) != len(used)+1 {
		t.Errorf("the kustomization uses %v of %v, %v", used, files, err)
	}
	set := found["StatefulSet tocsin"]
	pod := at(t, set, "spec", "template", "spec")
	container := at(t, pod, "containers", 0)
	var variables []string
	for _, v := range at(t, container, "env").([]any) {
		variables = append(variables, at(t, v, "name").(string))
	}
	args := texts(at(t, container, "args"))
	serves(t, "the StatefulSet", args, variables...)
	labels := at(t, set, "spec", "template", "metadata", "labels")
	for what, selector := range map[string]any{
		"the StatefulSet":         at(t, set, "spec", "selector", "matchLabels"),
		"the budget":              at(t, found["PodDisruptionBudget tocsin"], "spec", "selector", "matchLabels"),
		"the service":             at(t, found["Service tocsin"], "spec", "selector"),
		"the service of the pods": at(t, found["Service "+at(t, set, "spec", "serviceName").(string)], "spec", "selector"),
	} {
		if fmt.Sprint(selector) != fmt.Sprint(labels) {
			t.Errorf("%s selects %v, and the pods have %v", what, selector, labels)
		}
	}
	mounted := map[string]string{}
	for _, m := range at(t, container, "volumeMounts").([]any) {
		mounted[at(t, m, "name").(string)] = at(t, m, "mountPath").(string)
	}
	for _, v := range at(t, pod, "volumes").([]any) {
		if mounted[at(t, v, "name").(string)] == "" {
			t.Errorf("the volume %v is not mounted", at(t, v, "name"))
		}
	}
	if !slices.Contains(args, "--data="+mounted["data"]) || !slices.Contains(args, "--secret-key="+mounted["key"]+"/secret.key") {
		t.Errorf("serve %v does not use what is mounted: %v", args, mounted)
	}
	port := "--listen=0.0.0.0:" + fmt.Sprint(at(t, container, "ports", 0, "containerPort"))
	if !slices.Contains(args, port) {
		t.Errorf("serve %v has no %s", args, port)
	}
	for probe, path := range map[string]string{"livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/healthz"} {
		if got := at(t, container, probe, "httpGet", "path"); got != path {
			t.Errorf("the %s asks %v, want %s", probe, got, path)
		}
	}
	if at(t, pod, "securityContext", "runAsNonRoot") != true || at(t, container, "securityContext", "readOnlyRootFilesystem") != true {
		t.Error("the pods may more than they need")
	}
}

func TestDeploySystemd(t *testing.T) {
	t.Parallel()
	const path = "deploy/systemd/tocsin.service"
	unit := text(t, path)
	m := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/tocsin (.*)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("the unit starts no tocsin")
	}
	args := strings.Fields(m[1])
	state := regexp.MustCompile(`(?m)^StateDirectory=(\S+)$`).FindStringSubmatch(unit)
	if state == nil || !slices.Contains(args, "--data=/var/lib/"+state[1]) {
		t.Errorf("serve %v does not use the directory of the state %v", args, state)
	}
	serves(t, path, args, "TOCSIN_DATABASE")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		missing(t, "systemd-analyze", "systemd")
	}
	// The binary is not installed here: one that is stands for it.
	at := filepath.Join(t.TempDir(), "tocsin.service")
	if err := os.WriteFile(at, []byte(strings.ReplaceAll(unit, "/usr/local/bin/tocsin ", "/bin/true ")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, check := range [][]string{{"verify", "--man=no", at}, {"security", "--offline=yes", "--threshold=20", "--no-pager", at}} {
		if out, err := exec.CommandContext(t.Context(), analyze, check...).CombinedOutput(); err != nil || check[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", check[0], err, out)
		}
	}
}

// missing ends a test for which a program is needed that is not installed.
func missing(t *testing.T, program, in string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed: it is in the package %s", program, in)
	}
	t.Skipf("%s is not installed: it is in the package %s", program, in)
}

// The proxy asks only nodes that are ready, and one that stops costs no request.
func TestDeployProxy(t *testing.T) {
	t.Parallel()
	caddy, err := exec.LookPath("caddy")
	if err != nil {
		missing(t, "caddy", "caddy")
	}
	node := func(name string) (*httptest.Server, func(status int)) {
		status := make(chan int, 1)
		status <- http.StatusOK
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				ready := <-status
				status <- ready
				w.WriteHeader(ready)
			}
			_, _ = io.WriteString(w, name)
		}))
		t.Cleanup(s.Close)
		return s, func(to int) { <-status; status <- to }
	}
	first, ready := node("first")
	second, _ := node("second")
	third, _ := node("third")
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte("{\n\tadmin off\n}\n"+text(t, "deploy/compose/Caddyfile")), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, caddy, "run", "--adapter", "caddyfile", "--config", config)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "TOCSIN_HOST=http://"+address,
		"TOCSIN_NODES="+strings.Join([]string{first.Listener.Addr().String(), second.Listener.Addr().String(), third.Listener.Addr().String()}, " "))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var lines []string
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			lines = append(lines, scan.Text())
		}
		said <- strings.Join(lines, "\n")
	}()
	t.Cleanup(func() {
		stop()
		if text := <-said; t.Failed() {
			t.Logf("what the proxy said:\n%s", text)
		}
		_ = cmd.Wait() // it was killed
	})
	ask := func() string {
		resp, err := http.Get("http://" + address + "/")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Sprintf("%d %s %v", resp.StatusCode, body, err)
		}
		return string(body)
	}
	answers := func(n int) map[string]int {
		out := map[string]int{}
		for range n {
			out[ask()]++
		}
		return out
	}
	tocsintest.Until(t, time.Minute, "all three nodes answer", func() bool {
		got := answers(20)
		return got["first"] > 0 && got["second"] > 0 && got["third"] > 0
	})
	ready(http.StatusServiceUnavailable)
	tocsintest.Until(t, time.Minute, "the node that is not ready is asked no more", func() bool {
		return answers(20)["first"] == 0
	})
	second.Close()
	if got := answers(20); got["third"] != 20 {
		t.Errorf("after a node stopped: %v, want 20 answers of the third", got)
	}
}
