// Package orpinetest tests programs: on the real engine and the real store, in virtual time, with
// stubs in place of step functions and scripts in place of models, and with a crash after every
// write of the journal.
//
// [Run] plays in a bubble of testing/synctest: a program that waits 30 days is tested in
// milliseconds, and a test that would wait for ever fails and says for what. What runs in a bubble
// must not wait for anything outside of it, such as a socket.
//
// It is for tests only and holds no part of the runtime itself. On the line request -> run -> step ->
// journal -> event -> client it stands around all of it, as the user and as the world outside.
package orpinetest
