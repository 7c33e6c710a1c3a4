package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/internal/command"
)

// A need is a program and the packages that bring it, by package tool. An empty
// name means that the distribution has no such package and the need is dropped.
type need struct {
	program string
	apt     string
	dnf     string
}

var needs = []need{
	{"gcc", "gcc libc6-dev", "gcc glibc-devel"}, // go test -race links with it
	{"linux.uml", "user-mode-linux", ""},
	{"thin_check", "thin-provisioning-tools", "device-mapper-persistent-data"},
	{"dmsetup", "dmsetup", "device-mapper"},
	{"lvm", "lvm2", "lvm2"},
	{"mkfs.ext4", "e2fsprogs", "e2fsprogs"},
	{"mkfs.xfs", "xfsprogs", "xfsprogs"},
	{"mmdebstrap", "mmdebstrap debian-archive-keyring", ""},
	{"setfattr", "attr", "attr"},
	{"containerd", "containerd runc", "containerd.io"},
	{"mkfs.btrfs", "btrfs-progs", ""},
	{"fuse-overlayfs", "fuse-overlayfs", "fuse-overlayfs"},
	{"fio", "fio", "fio"},
	{"sqlite3", "sqlite3", "sqlite"},
	{"chromium", "chromium", "chromium"},
}

func main() {
	dry := flag.Bool("n", false, "say what is missing and install nothing")
	flag.Parse()
	if err := setup(*dry); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func setup(dry bool) error {
	tool, column := packageTool()
	missing, lacking := missingPackages(needs, column, lookProgram)
	if len(lacking) == 0 {
		return nil
	}
	if tool == "" {
		return fmt.Errorf("%s are missing, and neither apt-get nor dnf is here to install them: install them by hand", strings.Join(lacking, ", "))
	}
	if len(missing) == 0 {
		return nil // nothing that this distribution could install
	}
	install := append([]string{tool, "install", "-y"}, missing...)
	if tool == "apt-get" {
		install = slices.Insert(install, 3, "--no-install-recommends")
	}
	if dry || os.Getuid() != 0 {
		return fmt.Errorf("%s are missing: run %q as root", strings.Join(lacking, ", "), strings.Join(install, " "))
	}
	if tool == "apt-get" {
		if err := run("apt-get", "update", "-q"); err != nil {
			return err
		}
	}
	return run(install...)
}

// packageTool is the distribution's package tool, "" for none that is known, and
// the column of needs that belongs to it.
func packageTool() (string, func(need) string) {
	if _, err := exec.LookPath("apt-get"); err == nil {
		return "apt-get", func(n need) string { return n.apt }
	}
	if _, err := exec.LookPath("dnf"); err == nil {
		return "dnf", func(n need) string { return n.dnf }
	}
	return "", func(n need) string { return n.apt }
}

// missingPackages lists the packages to install and the programs they are for.
func missingPackages(needs []need, column func(need) string, has func(string) bool) (packages, programs []string) {
	for _, n := range needs {
		if column(n) != "" && !has(n.program) {
			packages = append(packages, strings.Fields(column(n))...)
			programs = append(programs, n.program)
		}
	}
	return packages, programs
}

func lookProgram(name string) bool { return command.Program{Name: name}.Installed() == nil }

func run(argv ...string) error {
	fmt.Println("setup:", strings.Join(argv, " "))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}
