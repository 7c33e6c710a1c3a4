package main

import (
	"fmt"
	"os"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Print, check and take over configuration", a.configDefault(), a.configCheck(), a.configImport())
}

// defaults is a configuration file that says what happens without one.
const defaults = `# Veneer's configuration, /etc/veneer/config.toml. What is commented out is the default.

# root = "/var/lib/veneer"
# address = "/run/veneer/veneer.sock"
# metrics = ""                  # address for Prometheus, such as "127.0.0.1:9610"
# log_level = "warn"            # error, warn, info, debug
# progress = "auto"             # auto, tty, plain, none
# min_free_data = 1.0           # percent; below it nothing new is made
# min_free_metadata = 5.0

[pool]                          # what "veneer pool create" goes by
# name = "veneer"
# backing = "loop"              # loop, devices, lvm
# data = ""                     # loop: file; devices: blank device
# metadata = ""
# volume_group = ""             # lvm: where to make two volumes
# existing_pool = ""            # lvm: an empty thin pool, as VG/LV, instead
# size = "100GiB"
# metadata_size = ""            # by the size of the data
# block_size = "64KiB"
# filesystem = "ext4"           # or another that "veneer pool create --help" names
# mkfs_options = []
# base_size = "10GiB"           # of a container's disk, unless it asks for another
# when_full = "error"           # error, queue
# expose_deleted_data = false   # true: new blocks show what deleted containers left

[limits]                        # of one layer of an image; a layer beyond them is refused
# bytes = "1TiB"                # sum of its files' sizes
# entries = 10000000            # numbers: -1 means no limit
# depth = 255                   # folders on the way to a file
# path_bytes = 4096
# xattr_bytes = 1048576         # of one file
# ratio = 500                   # bytes that one compressed byte may become,
# ratio_floor = "8GiB"          # once a layer has unpacked to so many
# no_devices = false            # true: refuse device nodes
`

func (a *app) configDefault() *cobra.Command {
	return &cobra.Command{
		Use: "default", Short: "Print a configuration file with every key and its default", Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, defaults)
			return err
		},
	}
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Say whether the configuration file is right", Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			// Unknown keys and wrong values of the file were refused before this ran.
			if _, err := a.config.Pool.options(); err != nil {
				return err
			}
			what := "is right"
			if _, err := os.Stat(a.configPath); err != nil {
				what = "is not there, which is right too"
			}
			fmt.Fprintf(a.stdout, "%s %s\n", a.configPath, what)
			return nil
		},
	}
}

func (a *app) configImport() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Make a configuration of another driver's", Args: args(1, 1, "one file"),
		Long: `Read a configuration for containerd's devmapper plugin (config.toml), Docker's
devicemapper driver (daemon.json, or "dm.key=value" lines) or container-storage-setup
(KEY=value lines). Print ours on standard output and, for each key of theirs, what
became of it on standard error. Nothing is changed.`,
		RunE: func(_ *cobra.Command, given []string) error {
			text, err := os.ReadFile(given[0])
			if err != nil {
				return err
			}
			c, fates, err := importConfig(given[0], text)
			if err != nil {
				return err
			}
			for _, f := range fates {
				fmt.Fprintf(a.stderr, "%s = %q: %s\n", f.key, f.value, f.became)
			}
			return toml.NewEncoder(a.stdout).Encode(c)
		},
	}
}
