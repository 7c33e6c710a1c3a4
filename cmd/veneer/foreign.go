package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// fate is what became of one key of another driver's configuration.
type fate struct{ key, value, became string }

const (
	always  = "not needed: it is always so"
	nothing = "not needed: there is nothing of the kind here"
)

// setting takes a value over and says where to, or says why not.
type setting func(c *config, value string) (became string, err error)

func intoSize(name string, field func(*poolConfig) *bytesize.Size) setting {
	return func(c *config, v string) (string, error) { return "pool." + name, field(&c.Pool).Set(v) }
}

func intoText(name string, field func(*poolConfig) *string) setting {
	return func(c *config, v string) (string, error) { *field(&c.Pool) = v; return "pool." + name, nil }
}

func dropped(why string) setting {
	return func(*config, string) (string, error) { return why, nil }
}

func fsType(c *config, v string) (string, error) {
	if _, err := filesystem.ByName(v); err != nil {
		return fmt.Sprintf("dropped: %s is not possible here, %s are", v, strings.Join(filesystem.Names(), " and ")), nil
	}
	c.Pool.Filesystem = v
	return "pool.filesystem", nil
}

func mkfsWords(prefix ...string) setting {
	return func(c *config, v string) (string, error) {
		if v == "" {
			return "empty", nil
		}
		c.Pool.MkfsOptions = append(append(c.Pool.MkfsOptions, prefix...), strings.Fields(v)...)
		return "pool.mkfs_options", nil
	}
}

func device(which string, field func(*poolConfig) *string) setting {
	return func(c *config, v string) (string, error) {
		c.Pool.Backing = "devices"
		*field(&c.Pool) = v
		return "pool." + which + ", with pool.backing = devices", nil
	}
}

// existing takes an LVM thin pool over by the name of its device: VG-LV, in which a
// hyphen of a name is doubled.
func existing(c *config, v string) (string, error) {
	name := strings.TrimPrefix(strings.TrimPrefix(v, "/dev/mapper/"), "/dev/")
	if !strings.Contains(name, "/") {
		halves := strings.SplitN(strings.ReplaceAll(name, "--", "\x00"), "-", 2)
		if len(halves) < 2 {
			return "dropped: a pool that is not LVM's is not taken over; Veneer makes its own, and images are unpacked anew", nil
		}
		name = strings.ReplaceAll(halves[0]+"/"+halves[1], "\x00", "-")
	}
	c.Pool.Backing, c.Pool.ExistingPool = "lvm", name
	return "pool.existing_pool, which has to be empty: what the other driver has in it is not taken over", nil
}

func minFree(c *config, v string) (string, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(v, "%"), 64)
	if err != nil {
		return "", fmt.Errorf("%q is not a percentage", v)
	}
	c.MinFreeData = &percent
	return "min_free_data", nil
}

func volumeGroup(c *config, v string) (string, error) {
	if c.Pool.ExistingPool == "" {
		c.Pool.Backing, c.Pool.VolumeGroup = "lvm", v
	}
	return "pool.volume_group", nil
}

var (
	baseSize  = intoSize("base_size", func(p *poolConfig) *bytesize.Size { return &p.BaseSize })
	dataSize  = intoSize("size", func(p *poolConfig) *bytesize.Size { return &p.Size })
	metaSize  = intoSize("metadata_size", func(p *poolConfig) *bytesize.Size { return &p.MetadataSize })
	blockSize = intoSize("block_size", func(p *poolConfig) *bytesize.Size { return &p.BlockSize })
	setUpLVM  = dropped("dropped: make the volume group with pvcreate and vgcreate, and name it in pool.volume_group")
)

// foreign are the keys of containerd's devmapper plugin, of Docker's devicemapper
// driver and of container-storage-setup.
var foreign = map[string]setting{
	"root_path":       dropped("dropped: containerd's; Veneer's store is in root"),
	"pool_name":       existing,
	"base_image_size": baseSize,
	"async_remove":    dropped(always),
	"discard_blocks":  dropped(always),
	"fs_type":         fsType,
	"fs_options":      mkfsWords("-E"),

	"dm.basesize": baseSize, "dm.loopdatasize": dataSize, "dm.loopmetadatasize": metaSize, "dm.blocksize": blockSize,
	"dm.fs": fsType, "dm.mkfsarg": mkfsWords(), "dm.min_free_space": minFree, "dm.thinpooldev": existing,
	"dm.mountopt":                 dropped("dropped: whoever mounts a snapshot chooses its options"),
	"dm.datadev":                  device("data", func(p *poolConfig) *string { return &p.Data }),
	"dm.metadatadev":              device("metadata", func(p *poolConfig) *string { return &p.Metadata }),
	"dm.blkdiscard":               dropped(always),
	"dm.use_deferred_removal":     dropped(always),
	"dm.use_deferred_deletion":    dropped(always),
	"dm.override_udev_sync_check": dropped(nothing),
	"dm.libdm_log_level":          dropped(nothing),
	"dm.xfs_nospace_max_retries":  dropped("dropped: set /sys/fs/xfs/DEVICE/error/metadata/ENOSPC/max_retries; a full pool fails writes at once by default"),
	"dm.directlvm_device":         setUpLVM, "dm.directlvm_device_force": setUpLVM,
	"dm.thinp_percent": setUpLVM, "dm.thinp_metapercent": setUpLVM,
	"dm.thinp_autoextend_threshold": dropped("dropped: watch the metrics and run \"veneer pool grow\""),
	"dm.thinp_autoextend_percent":   dropped("dropped: watch the metrics and run \"veneer pool grow\""),

	"VG": volumeGroup, "CHUNK_SIZE": blockSize, "DEVS": setUpLVM, "WIPE_SIGNATURES": setUpLVM,
	"CONTAINER_THINPOOL":           intoText("existing_pool", func(p *poolConfig) *string { return &p.ExistingPool }),
	"STORAGE_DRIVER":               dropped(nothing),
	"AUTO_EXTEND_POOL":             dropped("dropped: watch the metrics and run \"veneer pool grow\""),
	"POOL_AUTOEXTEND_THRESHOLD":    dropped("dropped: watch the metrics and run \"veneer pool grow\""),
	"POOL_AUTOEXTEND_PERCENT":      dropped("dropped: watch the metrics and run \"veneer pool grow\""),
	"DATA_SIZE":                    dropped("dropped unless it is a size: say pool.size"),
	"MIN_DATA_SIZE":                dropped("dropped: say pool.size"),
	"EXTRA_STORAGE_OPTIONS":        dropped("dropped: import Docker's options by themselves"),
	"CONTAINER_ROOT_LV_NAME":       dropped(nothing),
	"GROWPART":                     setUpLVM,
	"DEVICE_WAIT_TIMEOUT":          dropped(nothing),
	"CONTAINER_ROOT_LV_SIZE":       dropped(nothing),
	"CONTAINER_ROOT_LV_MOUNT_PATH": dropped(nothing),
}

// importConfig translates a configuration, whatever kind it is.
func importConfig(name string, text []byte) (config, []fate, error) {
	pairs, err := foreignPairs(string(text))
	if err != nil {
		return config{}, nil, usage("%s: %w", name, err)
	}
	if len(pairs) == 0 {
		return config{}, nil, usage("%s holds no configuration of containerd's devmapper plugin, of Docker's devicemapper driver or of container-storage-setup", name)
	}
	var c config
	var fates []fate
	for _, p := range pairs {
		set, known := foreign[p[0]]
		if !known {
			fates = append(fates, fate{p[0], p[1], "dropped: it is not known"})
			continue
		}
		became, err := set(&c, p[1])
		if err != nil {
			return c, fates, usage("%s: %s: %w", name, p[0], err)
		}
		fates = append(fates, fate{p[0], p[1], became})
	}
	// container-storage-setup names the pool and its group apart.
	if c.Pool.ExistingPool != "" && !strings.Contains(c.Pool.ExistingPool, "/") {
		c.Pool.ExistingPool = c.Pool.VolumeGroup + "/" + c.Pool.ExistingPool
		c.Pool.Backing, c.Pool.VolumeGroup = "lvm", ""
	}
	return c, fates, nil
}

// foreignPairs finds keys and values in the three kinds of files.
func foreignPairs(text string) ([][2]string, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var d struct {
			Options []string `json:"storage-opts"`
		}
		err := json.Unmarshal([]byte(text), &d)
		return splitAll(d.Options), err
	}
	var c struct {
		Plugins map[string]map[string]any `toml:"plugins"`
	}
	if _, err := toml.Decode(text, &c); err == nil {
		if block, ok := c.Plugins["io.containerd.snapshotter.v1.devmapper"]; ok {
			var pairs [][2]string
			for _, key := range slices.Sorted(maps.Keys(block)) {
				pairs = append(pairs, [2]string{key, fmt.Sprint(block[key])})
			}
			return pairs, nil
		}
		if c.Plugins != nil {
			return nil, nil
		}
	}
	return splitAll(strings.Split(text, "\n")), nil
}

func splitAll(lines []string) (pairs [][2]string) {
	for _, line := range lines {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "--storage-opt"))
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok || strings.HasPrefix(key, "#") || strings.Contains(key, " ") {
			continue
		}
		pairs = append(pairs, [2]string{key, strings.Trim(strings.TrimSpace(value), `"'`)})
	}
	return pairs
}
