;; It hands over more subscriptions than there is memory.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $p (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"poll-flood\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 179)) (i32.const 0))
  (func (export "tocsin_collect") (result i32) (call $p (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 512)))
)
