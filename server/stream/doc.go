// Package stream sends what happens to a run, and to its children, to a client as server-sent
// events (https://html.spec.whatwg.org/multipage/server-sent-events.html). Each item has an ID by
// which the client goes on behind it, with this process or a later one.
//
// It asks nobody who the client is: the server has found the run that it may see. It changes no
// run. On the line request -> run -> step -> journal -> event -> client it stands between the last
// two.
package stream
