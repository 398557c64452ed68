//go:build tools

// Package conformance only names the programs that build.py builds, so that go.mod and go.sum hold all they need.
package conformance

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
