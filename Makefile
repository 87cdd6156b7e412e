# `make` shows the targets. `make verify` is exactly what CI runs.
.DEFAULT_GOAL := help

GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 10s
UI       := web/ui/app

.PHONY: help build test race fuzz lint fmt generate ui engine ui-test verify fresh tidy

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the binary into ./bin
	go build -trimpath -o bin/ ./cmd/...

test: ## Run all tests, those in a real browser too when Chromium is there
	go test -timeout 20m ./...
	cd web/e2e && go test ./...

race: ## Run the tests with the race detector, in random order
	@# cmd/tocsin and examples run binaries of their own, which it cannot look into;
	@# -short leaves out programs that are built for a test, and kills fewer processes.
	go test -race -short -shuffle=on -count=1 -timeout 20m ./core/... ./rules/... ./wasm/... ./web/...

fuzz: ## Fuzz every target for FUZZTIME each
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$pkg/*_test.go | cut -c6-); do \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg || exit 1; done; done

lint: ## Check style and mistakes
	$(GOLANGCI) run ./...

fmt: ## Format the code
	$(GOLANGCI) fmt ./...

generate: ## Regenerate generated files
	go generate ./...

ui: ## Rebuild the UI into web/ui/dist (needs Node)
	cd $(UI) && npm ci --ignore-scripts --no-audit --no-fund && npm run build

engine: ## Embed the interpreter of scripts anew, from its npm package (needs Node)
	cd wasm/script/engine && npm ci --ignore-scripts --no-audit --no-fund
	gzip -9nc wasm/script/engine/node_modules/quickjs-wasi/quickjs.wasm > wasm/script/engine/quickjs.wasm.gz

ui-test: ## Type-check and test the UI (needs Node, after `make ui`)
	cd $(UI) && npm run check && npm test

fresh: ui ui-test ## Fail when what is generated differs from what is committed
	cd wasm/script/engine && npm ci --ignore-scripts --no-audit --no-fund
	go generate ./...
	git diff --exit-code -- web/ui/dist web/ui/app/src/api.gen.ts

tidy: ## Check go.mod and go.sum
	go mod tidy -diff
	go mod verify
	cd web/e2e && go mod tidy -diff

verify: tidy fresh lint test race ## Everything CI checks
	$(GOLANGCI) fmt --diff ./...
