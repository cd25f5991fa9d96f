//! Black-box tests: real binary, kubectl and etcd.
