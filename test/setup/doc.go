// Command setup installs what the tests and the demonstration need from the
// distribution's own packages.
//
//	go run ./test/setup [-n]
//
// It looks for programs, not for packages, so nothing is installed that is there
// in another form. Without root, or with -n, it installs nothing and prints the
// one command that would. It knows apt-get (Debian, Ubuntu) and dnf (Fedora,
// RHEL, CentOS Stream, Rocky).
package main
