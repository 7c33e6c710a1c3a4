package bench

import (
	"fmt"
	"os"
)

// dropCaches drops clean page cache, dentries and inodes of the whole machine, as
// Documentation/admin-guide/sysctl/vm.rst has it.
func dropCaches() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200); err != nil {
		return fmt.Errorf("drop the kernel's caches, which a cold measurement needs: %w", err)
	}
	return nil
}
