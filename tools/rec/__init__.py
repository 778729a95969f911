"""Parts of ks-rec: what comes in, the workers, the maintenance."""
