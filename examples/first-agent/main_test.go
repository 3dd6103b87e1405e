package main

import "testing"

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir()) // where it keeps its run
	if err := run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
