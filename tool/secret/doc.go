// Package secret keeps keys and passwords out of everything that is written down: a
// [Broker] puts the values of ${secret:NAME} in at the last moment before they are used,
// and a [Redactor] takes them out of whatever comes back.
//
// A definition, a journal, a prompt and a log hold the reference only. A tool asks
// [Broker.Expand] inside its step, right before the request it makes, and must not keep what
// it got. Values come from [Source]s, asked in order: [Environment] for names that were
// allowed, [Directory] for one file a secret, and [Store], an encrypted file in the data
// directory. The redactor learns a value before the caller does, so nothing that was handed
// out is unknown to it.
//
// A redactor replaces a value by [secret:NAME] where it stands as it is, in base64 (both
// alphabets, at every alignment, with what surrounds it in the same text), in hexadecimal, and
// under percent-encoding or JSON escapes of any of these. It does not see a value that was
// compressed, encrypted, reversed, cut short, broken into lines or spelled in any other way: it
// guards against accidents and simple tricks, and not against a tool that means to leak.
//
// It may not log, journal or print a value, or hand one to a model. On the line request ->
// run -> step -> journal -> event -> client it stands inside a step, around the tools.
package secret
