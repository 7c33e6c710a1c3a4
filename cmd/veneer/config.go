package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
)

const (
	defaultRoot    = "/var/lib/veneer"
	defaultConfig  = "/etc/veneer/config.toml"
	defaultAddress = "/run/veneer/veneer.sock"
)

// config is the configuration file. A flag on the command line wins over it.
type config struct {
	Root     string `toml:"root,omitempty"`
	Address  string `toml:"address,omitempty"`
	Metrics  string `toml:"metrics,omitempty"`
	LogLevel string `toml:"log_level,omitempty"`
	Progress string `toml:"progress,omitempty"`
	// Space below which nothing new is made, in percent.
	MinFreeData     *float64   `toml:"min_free_data,omitempty"`
	MinFreeMetadata *float64   `toml:"min_free_metadata,omitempty"`
	Pool            poolConfig `toml:"pool"`
	// Limits of images' layers.
	Limits limitsConfig `toml:"limits"`
}

// poolConfig is what "veneer pool create" goes by unless told otherwise.
type poolConfig struct {
	Name              string        `toml:"name,omitempty"`
	Backing           string        `toml:"backing,omitempty"`
	Data              string        `toml:"data,omitempty"`
	Metadata          string        `toml:"metadata,omitempty"`
	VolumeGroup       string        `toml:"volume_group,omitempty"`
	ExistingPool      string        `toml:"existing_pool,omitempty"`
	Size              bytesize.Size `toml:"size,omitzero"`
	MetadataSize      bytesize.Size `toml:"metadata_size,omitzero"`
	BlockSize         bytesize.Size `toml:"block_size,omitzero"`
	Filesystem        string        `toml:"filesystem,omitempty"`
	MkfsOptions       []string      `toml:"mkfs_options,omitempty"`
	BaseSize          bytesize.Size `toml:"base_size,omitzero"`
	WhenFull          string        `toml:"when_full,omitempty"`
	ExposeDeletedData bool          `toml:"expose_deleted_data,omitempty"`
}

// configure reads the configuration file and lets flags win over it.
func (a *app) configure(cmd *cobra.Command) error {
	flags := cmd.Flags()
	meta, err := toml.DecodeFile(a.configPath, &a.config)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !flags.Changed("config"):
	case errors.Is(err, fs.ErrNotExist):
		return usage("configuration %s is not there; name another with --config, or none", a.configPath)
	case err != nil:
		return usage("configuration %s: %w", a.configPath, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return usage("configuration %s: unknown key %q; see \"veneer pool create --help\" for what can be set", a.configPath, unknown[0])
	}
	for name, set := range map[string]struct{ flag, file *string }{
		"root": {&a.root, &a.config.Root}, "address": {&a.address, &a.config.Address}, "log-level": {&a.logLevel, &a.config.LogLevel}, "progress": {&a.progress, &a.config.Progress},
	} {
		if !flags.Changed(name) && *set.file != "" {
			*set.flag = *set.file
		}
	}
	if a.root, err = filepath.Abs(a.root); err != nil {
		return err
	}
	level, err := logrus.ParseLevel(a.logLevel)
	if err != nil {
		return usage("log level %q; error, warn, info and debug are possible", a.logLevel)
	}
	a.log.SetLevel(level)
	switch a.progress {
	case "auto", "tty", "plain", "none":
	default:
		return usage("progress %q; auto, tty, plain and none are possible", a.progress)
	}
	_, err = parseFormat(a.format)
	return err
}

func (a *app) driverConfig() snapshots.Config {
	c := snapshots.Config{
		Root: a.root, Log: a.log, Admit: snapshots.DefaultAdmission,
		RecoveredKey: func(id dmthin.ThinID) string { return containerPrefix + "recovered-" + id.String() },
	}
	if v := a.config.MinFreeData; v != nil {
		c.Admit.MinFreeData = *v
	}
	if v := a.config.MinFreeMetadata; v != nil {
		c.Admit.MinFreeMetadata = *v
	}
	return c
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("device-mapper operations need root; run veneer with sudo")
	}
	return nil
}
