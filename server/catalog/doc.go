// Package catalog keeps what a server knows by name beside its runs: agents and workflows with all of
// their versions, and which triggers its file has set.
//
// It reads and writes records through the façade, and looks into no definition. Who may change
// something is decided before. On the line request -> run -> step -> journal -> event -> client it stands
// beside the request: a run pins what it found here, and needs it no more.
package catalog
