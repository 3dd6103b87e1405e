package main

import (
	"context"
	"runtime"
	"runtime/debug"
)

// version is the release; the Makefile sets it when it builds one.
var version = "dev"

type versionCmd struct{}

// Help implements kong.HelpProvider.
func (versionCmd) Help() string {
	return `Examples:
  orpine version
  orpine version -o json`
}

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints the version.
func (versionCmd) Run(_ context.Context, a *app) error {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	return a.print(listing{
		single: true, names: []string{v.Version}, values: []any{v},
		rows: [][]string{{"orpine " + v.Version, short12(v.Revision), v.Go, v.Platform}},
	})
}

func short12(s string) string { return s[:min(12, len(s))] }
