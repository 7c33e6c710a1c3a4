package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// qemu boots a distribution's own kernel with the host's root over 9p. With KVM it
// is as fast as the host; without, some twenty times slower. It has two CPUs and
// room for the race detector.
type qemu struct{}

const qemuProgram = "qemu-system-x86_64"

func (qemu) name() string { return "qemu" }

func (qemu) missing(o *options) error {
	if runtime.GOARCH != "amd64" {
		return errors.New("qemu: only for amd64")
	}
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return fmt.Errorf("qemu: %s is not installed (package qemu-system-x86)", qemuProgram)
	}
	_, _, err := findKernel(o)
	return err
}

// findKernel is the kernel to boot and the folder of its modules.
func findKernel(o *options) (kernel, modules string, err error) {
	if o.kernel != "" {
		return o.kernel, o.modules, nil
	}
	indexes, _ := filepath.Glob("/lib/modules/*/modules.dep")
	slices.Sort(indexes)
	for _, index := range slices.Backward(indexes) {
		modules = filepath.Dir(index)
		for _, kernel := range []string{"/boot/vmlinuz-" + filepath.Base(modules), filepath.Join(modules, "vmlinuz")} {
			if unix.Access(kernel, unix.R_OK) == nil {
				return kernel, modules, nil
			}
		}
	}
	return "", "", errors.New("qemu: no readable kernel with its modules is in /boot and /lib/modules (package linux-image-amd64 or kernel)")
}

// accelerator is kvm where the processor's own virtualisation is behind /dev/kvm.
// In a guest that has none, /dev/kvm may exist and yet never run a kernel.
func accelerator() string {
	if unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) != nil {
		return "tcg"
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "tcg"
	}
	for flag := range strings.FieldsSeq(string(info)) {
		if flag == "vmx" || flag == "svm" {
			return "kvm"
		}
	}
	return "tcg"
}

// options9p lets the guest cache what it reads: the host's files do not change
// under a test.
const options9p = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"

const rootTag = "hostroot"

// writableTag is the 9p tag of the i-th writable folder.
func writableTag(i int) string { return fmt.Sprintf("writable%d", i) }

func (q qemu) start(b *boot) (*machine, error) {
	kernel, modules, err := findKernel(b.options)
	if err != nil {
		return nil, err
	}
	b.job.ModuleDir, b.job.RootTag = modules, rootTag
	b.job.Channel, b.job.Scratch, b.job.ScratchDir = "/dev/vport0p1", "/dev/vda", "/mnt/scratch"
	jobFile, err := b.run.writeJob(b.job)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(b.run.path, "initrd")
	if err := writeInitramfs(initrd, jobFile, modules); err != nil {
		return nil, fmt.Errorf("make the initial file system: %w", err)
	}
	program, err := exec.LookPath(qemuProgram)
	if err != nil {
		return nil, err
	}
	// qemu's "pipe" wants two names, NAME.in and NAME.out, from its own point of view.
	channel := filepath.Join(b.run.path, "channel")
	for name, fd := range map[string]int{".in": fdSignals, ".out": fdFrames} {
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", fd), channel+name); err != nil {
			return nil, err
		}
	}
	argv := []string{
		program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "pc,accel=" + accelerator(), "-cpu", "max", "-smp", fmt.Sprint(min(2, runtime.NumCPU())),
		"-m", fmt.Sprintf("%dM", b.options.memory>>20),
		"-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 " + jobVariable + "=" + initramfsJob,
		"-chardev", fmt.Sprintf("file,id=console,path=/proc/self/fd/%d", fdConsole), "-serial", "chardev:console",
		"-device", "virtio-serial-pci",
		"-chardev", "pipe,id=channel,path=" + channel,
		"-device", "virtserialport,chardev=channel,name=veneer-vm,nr=1",
		"-device", "virtio-rng-pci",
		"-drive", fmt.Sprintf("if=none,id=scratch,format=raw,discard=unmap,file.locking=off,file=/proc/self/fd/%d", fdFirstExtra),
		"-device", "virtio-blk-pci,drive=scratch",
	}
	share := func(tag, dir, access string) {
		argv = append(argv,
			"-fsdev", fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap%s", tag, strings.ReplaceAll(dir, ",", ",,"), access),
			"-device", fmt.Sprintf("virtio-9p-pci,fsdev=%s,mount_tag=%s", tag, tag))
	}
	share(rootTag, "/", ",readonly=on")
	for i, dir := range b.job.writableDirs() {
		share(writableTag(i), dir, "")
	}
	return launch(guarded{
		argv: argv, env: []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.run.path}, dir: b.run.path,
		files: []*os.File{b.scratch}, watch: b.watch,
	})
}
