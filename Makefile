# Everything a contributor types. `make test` is what CI runs; it needs Go only.

export CGO_ENABLED = 0
export GOFLAGS = -mod=readonly

LINT_VERSION = v2.15.0
LINT = bin/golangci-lint-$(LINT_VERSION)
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build test check lint race fuzz crash soak conformance bench bench-crowd bench-peers clean help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/orpine
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/orpine ./cmd/orpine

test: ## run all tests, and say how many crash points they went through
	@command -v strace >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] \
	  || { apt-get update && apt-get install -y --no-install-recommends strace; } >/dev/null \
	  || echo "no strace: flushes of the disk are not counted"
	@command -v npm >/dev/null || echo "no npm: the reference servers of MCP are not tried"
	@! command -v npm >/dev/null || $(NPM) --prefix tool/mcp/testdata/servers
	go vet ./...
	go test -timeout 15m ./...
	@go test -v -run 'CrashEverywhere$$' ./engine/embedded ./agent | grep 'crash points:\|crash points$$'

check: lint ## what every commit passes: format, lint, short tests
	go vet ./...
	go test -short -timeout 10m ./...

lint: $(LINT) ## run the linter alone
	$(LINT) run ./...

$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $(LINT)

race: export CGO_ENABLED = 1
race: ## run the tests under the race detector (needs a C compiler)
	go test -race -timeout 20m ./...

FUZZTIME = 20s
fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

N = 10000
crash: ## kill the built program N times and cut the power N/100 times (as root)
	go test -count=1 -timeout 24h -v -run '^TestKillStorm$$' ./cmd/orpine -kills $(N)
	go test -count=1 -timeout 24h -v -run '^TestPowerCut$$' ./cmd/orpine -cuts $$(( $(N) / 100 + 5 ))

CUTS = 1000
soak: ## run the long forms of the crash, simulation and planted bug tests (an hour or more)
	go test -count=1 -timeout 24h -v -run '^(TestCrashEverywhere|TestSimulation|TestLinearizable)$$' ./engine/embedded -soak
	go test -count=1 -timeout 24h -v -run '^(TestCrashEverywhere|TestManySchedules)$$' ./trigger -soak
	go test -count=1 -timeout 24h -v -run '^TestPlantedBugs$$' . -soak
	go test -count=1 -timeout 24h -v -run '^TestPowerCut$$' ./cmd/orpine -cuts $(CUTS)
	go test -count=1 -timeout 24h -v -run '^TestKillStorm$$' ./cmd/orpine -kills $(N)
	go test -count=1 -timeout 1h -v -run '^TestClientCuts$$' ./cmd/orpine -clientcuts 200
	go test -count=1 -timeout 1h -v -run '^TestTauTasks$$' ./cmd/orpine -taukills 20

NPM = npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
conformance: ## run the public conformance suite of MCP against client and server (240 MB from npm)
	$(NPM) --prefix tool/mcp/testdata/suite
	go test -count=1 -v -run '^TestConformance$$' ./tool/mcp ./server/mcp

BENCHTIME = 2
bench: build ## run the benchmarks: of the rooms, then each workload for BENCHTIME seconds
	go test -run '^$$' -bench . -benchmem ./...
	bin/orpine bench floor --secs $(BENCHTIME)
	bin/orpine bench steps --secs $(BENCHTIME) --runs 1
	bin/orpine bench steps --secs $(BENCHTIME) --runs 64
	bin/orpine bench steps --secs $(BENCHTIME)
	bin/orpine bench agents --secs $(BENCHTIME)
	bin/orpine bench agents --secs $(BENCHTIME) --loop agent
	bin/orpine bench parked --secs $(BENCHTIME)
	bin/orpine bench recover --secs $(BENCHTIME)
	bin/orpine bench thread --secs $(BENCHTIME)

CLIENTS = 2000
bench-crowd: ## measure the server under CLIENTS streams, 5 times as many waiting runs, and starts
	go test -count=1 -v -run '^(TestCrowd|TestManyWaiting|TestStartLatency)$$' ./cmd/orpine -crowd $(CLIENTS)

PEERS_FLAGS =
bench-peers: ## run other durable engines beside Orpine (PEERS_FLAGS=--help)
	cd bench/peers && go run ./cmd/peers $(PEERS_FLAGS)

clean: ## remove what was built
	rm -rf bin
