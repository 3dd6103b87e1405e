// Package client talks to an Orpine server, over HTTP or through the socket of a data
// directory. What it does is what the façade does in a process of one's own, with the same
// words; its [Client.Watch] goes on where it was cut, whatever cut it.
//
// It holds the wire types, which the server uses too: what is written here is the protocol.
// It knows nothing of engines and stores. On the line request -> run -> step -> journal ->
// event -> client it is both ends.
package client
