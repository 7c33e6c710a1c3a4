// Package policy holds the rules that keep this repository one piece of work, as
// tests: which package may import which, what each package must bring, and what
// no file may contain. It has no code of its own.
//
// A rule names the things it forbids or allows, and a name that no longer exists
// fails the test too: a rule about nothing protects nothing.
package policy
