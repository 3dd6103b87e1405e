// Command orpinevet finds in programs of the orpine runtime what a replay would not repeat. It is
// used by go vet:
//
//	go install github.com/orpine-run/orpine/cmd/orpinevet@latest
//	go vet -vettool=$(which orpinevet) ./...
//
// It is package vet as a command and decides nothing. Of the line request -> run -> step -> journal -> event ->
// client it sees the source only.
package main

import (
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/orpine-run/orpine/vet"
)

func main() { unitchecker.Main(vet.New()) }
