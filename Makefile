# `make` lists the targets. Each one calls go, or a program of this repository.
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:
SHELL := /bin/sh
GO ?= go
FUZZTIME ?= 30s
BACKING ?= loop
BENCH ?=
SEED ?= 1
SOAK ?= 15m
# When a package's tests are ended, with all goroutines' stacks. It is more than ten times
# what the longest take, so that a machine at a tenth of the usual speed passes; and a hang
# at the usual speed is reported within the 90 minutes that CI has.
HANG ?= 60m
ONLY ?=
PKG ?= ./metadata/dmthin ./images/layer
FILES ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
COMMANDS := $(patsubst cmd/%/,%,$(wildcard cmd/*/))
VM := $(CURDIR)/bin/vm

# Packages with tests for a real kernel, and the names of those tests. A machine has
# one CPU, so two run at a time.
VM_FILES := $(shell find . -name '*_vm_test.go' -not -path './.cache/*')
VM_PACKAGES := $(sort $(dir $(VM_FILES)))
VM_TESTS = ${shell sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t .*/\1/p' $(VM_FILES) /dev/null | sort -u | paste -sd '|'}

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: setup
setup: ## install what tests and demo need from the distribution's packages (as root)
	@$(GO) run ./test/setup

.PHONY: build
build: bin/vm $(COMMANDS:%=bin/%) ## build every program into bin/

.PHONY: images
images: ## make the two demonstration images in .cache/images, unless they are there
	@$(GO) run ./test/image -out .cache/images/demo.oci

.PHONY: demo
demo: setup images bin/vm bin/veneer bin/cowbench bin/demo ## show what Veneer does on a real image (IMAGE=source, BACKING=loop or lvm), and measure it
	@$(VM) -leakcheck on -- bin/demo -backing '$(BACKING)' $(if $(IMAGE),-image '$(IMAGE)')
	@echo
	@$(VM) -leakcheck on -- bin/cowbench run --quick

.PHONY: test
test: setup vet test-host test-vm ## run every test: on the host with -race, then under a real kernel

.PHONY: vet
vet:
	$(GO) vet ./...
	$(GO) vet -tags sabotage ./metadata ./test/crash

.PHONY: test-host
test-host: ## run the tests that need no kernel of their own, with the race detector
	$(GO) test -race -timeout $(HANG) ./...

.PHONY: test-vm
test-vm: bin/vm bin/veneer bin/containerd/containerd images ## run the tests that need dm-thin, natively or in a virtual machine
	@test -n '$(VM_TESTS)' || { echo 'make: there are no tests in *_vm_test.go files'; exit 1; }
	$(GO) test -count=1 -p 2 -timeout $(HANG) -exec '$(VM) -leakcheck on' -run '^($(VM_TESTS))$$' $(VM_PACKAGES)
	$(GO) test -count=1 -timeout $(HANG) -exec '$(VM) -leakcheck on' -tags sabotage -run WouldBeNoticed ./test/crash

.PHONY: test-docker
test-docker: setup bin/vm bin/veneer bin/containerd/containerd bin/docker/dockerd images ## run Docker Engine on Veneer (it is built first, which takes minutes)
	$(GO) test -count=1 -timeout $(HANG) -exec '$(VM) -leakcheck on' -tags docker -v -run Docker ./test/containerd

.PHONY: test-crash
test-crash: bin/vm bin/veneer bin/crash ## try every fault at every point, and print one table (SEED=n ONLY=regexp)
	@bin/crash -seed $(SEED) -only '$(ONLY)' crash

.PHONY: soak
soak: bin/vm bin/veneer bin/crash ## a day of a node in SOAK=15m: nearly full, with faults and restarts; and 32 clients beside it
	@bin/crash -seed $(SEED) -soak $(SOAK) soak

.PHONY: bench
bench: setup images bin/vm bin/bench ## measure each operation beside its floor (BENCH="-only regexp -strict")
	@$(VM) -leakcheck on -- bin/bench $(BENCH)

.PHONY: bench-containerd
bench-containerd: setup images bin/vm bin/veneer bin/bench-containerd ## compare with containerd's devmapper and overlayfs (BENCH="-only regexp -strict")
	@$(VM) -leakcheck on -- bin/bench-containerd $(BENCH)

.PHONY: bench-aa
bench-aa: setup bin/vm ## measure one backend under two names in 20 runs of cowbench, and expect no difference
	$(GO) test -c -o bin/vmtest/aa.test ./cmd/cowbench
	@'$(VM)' -timeout 20m -leakcheck on -- bin/vmtest/aa.test -test.v -test.run '^TestEqualsAreEqual$$' -aa 20

.PHONY: fuzz
fuzz: ## fuzz each decoder for FUZZTIME (default 30s)
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; \
	done

.PHONY: mutate
mutate: bin/gremlins bin/mutate ## change a package's operators one at a time, and expect its own tests to fail (PKG=./metadata/dmthin)
	@for p in $(PKG); do bin/mutate $(if $(FILES),-files '$(FILES)') "$$p" || exit 1; done
.PHONY: proto
proto: bin/proto/protoc-gen-go ## write the Go code of the daemon's protocol, service/api/v1/veneer.proto
	$(GO) run ./test/proto service/api/v1/veneer.proto

.PHONY: lint
lint: bin/golangci-lint ## check formatting, and look for mistakes with golangci-lint
	bin/golangci-lint run ./...
	bin/golangci-lint run --build-tags sabotage ./metadata ./test/crash

.PHONY: clean
clean: ## remove what was built; downloaded and made images stay in .cache
	rm -rf bin

# go's own cache decides what is stale, so programs are built every time.
.PHONY: bin/vm bin/demo bin/bench bin/mutate $(COMMANDS:%=bin/%)
bin/vm bin/demo bin/bench bin/mutate: bin/%:
	@$(BUILD) -o $@ ./test/$*

.PHONY: bin/bench-containerd
bin/bench-containerd:
	@$(BUILD) -o $@ ./test/containerd/bench

.PHONY: bin/crash
bin/crash:
	@$(BUILD) -o $@ ./test/crash/run

$(COMMANDS:%=bin/%): bin/%:
	@$(BUILD) -o $@ ./cmd/$*

bin/golangci-lint: test/tools/go.mod
	cd test/tools && CGO_ENABLED=0 $(GO) build -trimpath -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/gremlins: test/tools/gremlins/go.mod
	cd test/tools/gremlins && CGO_ENABLED=0 $(GO) build -trimpath -o $(CURDIR)/$@ tool
bin/proto/protoc-gen-go: test/tools/proto/go.mod
	cd test/tools/proto && CGO_ENABLED=0 $(GO) build -trimpath -o $(CURDIR)/bin/proto/ tool

bin/containerd/containerd: test/tools/containerd/go.mod
	cd test/tools/containerd && CGO_ENABLED=0 $(GO) build -trimpath -tags 'no_btrfs no_zfs' -o $(CURDIR)/bin/containerd/ tool

bin/docker/dockerd: test/tools/docker/go.mod
	cd test/tools/docker && CGO_ENABLED=0 $(GO) build -trimpath -tags 'exclude_graphdriver_btrfs' -o $(CURDIR)/bin/docker/ tool
