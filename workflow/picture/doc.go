// Package picture draws workflows, with how far a run of one has come: as text for a terminal, as
// Mermaid and as SVG.
//
// Its functions are pure: they take a [workflow.View] and return a text. They read no run, no file and
// no clock. A view may come from anywhere, so they take any: what a node needs and is not there is
// left out, and every text in it is escaped. Beyond 500 nodes [Text] and [SVG] draw layers in place of
// nodes, and say so.
//
// On the line request -> run -> step -> journal -> event -> client it stands at the client's end.
package picture
