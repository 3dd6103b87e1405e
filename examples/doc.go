// Package examples is the folder of the examples: each is a folder with a file that runs as it stands,
// or a program, and a page that says what it shows. The package itself holds their tests and nothing
// else; no other may import it.
//
// On the line request -> run -> step -> journal -> event -> client it stands before the request.
package examples
