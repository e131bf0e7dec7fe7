# Go's tools do the work; this file gives names to the commands.

GO        ?= go
PREFIX    ?= /usr/local
DESTDIR   ?=
FUZZTIME  ?= 1m
BENCH     ?= .
COUNT     ?= 1
TESTFLAGS ?=
DEMOFLAGS ?=

programs := imserve imsync
units    := $(wildcard contrib/systemd/*.service contrib/systemd/*.socket contrib/systemd/*.timer)

.PHONY: help build test demo lint fuzz bench install packages

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

build: ## build both programs into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...

# The longest first, beside which the others run.
test: ## set this machine up and run all tests: race detector on, each fuzz target for some seconds
	.ci/setup
	$(GO) test -race -timeout 28m $(TESTFLAGS) ./internal/systest ./...
	.ci/fuzz 2s

demo: build ## show the whole at work on this machine: log, ranking, sync, mirror
	$(GO) run ./contrib/demo $(DEMOFLAGS)

lint: ## gofmt, go vet, staticcheck, go mod tidy, shellcheck
	.ci/lint

fuzz: ## fuzz each target for FUZZTIME (1m)
	.ci/fuzz $(FUZZTIME)

bench: ## run the Go benchmarks that match BENCH (.), each COUNT (1) times
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

# Does not build what is there already, so that `make build` can be a user's and `sudo make install` root's, who need
# not have Go.
install: $(programs:%=bin/%) ## install programs and systemd units below DESTDIR and PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)/etc/logrotate.d
	install -m 0755 $^ $(DESTDIR)$(PREFIX)/bin
	install -m 0644 $(units) $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(patsubst contrib/systemd/%,$(DESTDIR)$(PREFIX)/lib/systemd/system/%,$(units))
	install -m 0644 contrib/systemd/intelligentmirror.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/intelligentmirror.conf
	test -e $(DESTDIR)/etc/logrotate.d/intelligentmirror || install -m 0644 contrib/logrotate/intelligentmirror $(DESTDIR)/etc/logrotate.d

packages: ## build the .deb and the .rpm into bin/packages
	contrib/packages/build bin/packages

bin/%:
	$(GO) build -trimpath -o bin/ ./cmd/$*
