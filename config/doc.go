// Package config turns the YAML of an orpine file into checked definitions:
// agents, the tools they name and the models they use. [Load] reads a file,
// [Parse] reads bytes, [JSONSchema] describes the format to editors and [Schema]
// is the short type language of outputs and inputs.
//
// The format is one table, fileFields in fields.go: the checker, the JSON Schema
// and the lists of known fields are all read off it, so a new field is one line
// there and one field of the Go type that holds it. A file goes through four
// stages: tree.go reads YAML into a bounded tree with positions, check.go walks
// the tree along the table, the result is decoded into a [File], and refs.go
// checks what one part of the file says about another. Every stage adds to one
// list of problems, so all faults of a file are reported at once.
//
// It may not start anything, open a file other than the one it was told to load,
// or read the environment: variables come from the function it is given.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// before the request: what it returns is what a run is started with.
package config
