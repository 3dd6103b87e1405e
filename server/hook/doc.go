// Package hook lets in what is sent from outside to triggers that wait for a webhook: it checks how a
// delivery is signed, tells the trigger, and counts for each address what did not fit.
//
// It speaks no HTTP, keeps no secret and starts nothing. package server/webhook is the other way round:
// what this server sends to others. On the line request -> run -> step -> journal -> event -> client it
// stands at the request.
package hook
