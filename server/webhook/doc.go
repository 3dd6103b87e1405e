// Package webhook tells other programs over HTTP when runs come to wait, are paused, blocked
// or over. Each change is an event; for each webhook that wants it there is a delivery, which
// is a run of the program of this package: its retries outlive the process, and who wants to
// know what became of it looks at the run.
//
// An event arrives at least once, in no order that is promised, under an ID by which a
// receiver knows it again. Requests are signed as Standard Webhooks says
// (https://www.standardwebhooks.com). A process that dies between a change and its delivery
// loses nothing: the next one looks through the runs, and a delivery has an ID that is made
// from what it delivers, so that there is no second one. Of a run that changed twice in
// between, only the later change is still to be seen there.
//
// On the line request -> run -> step -> journal -> event -> client it stands at the end, and
// at the beginning once more: what it delivers is a run. It changes no run of others.
package webhook
