;; It takes all the memory it can get, writes to every page and then aborts.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"mem-bomb\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 177)) (i32.const 0))
  (func (export "tocsin_collect") (result i32) (local $p i32)
    (loop $g (br_if $g (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
    (loop $t (i32.store (local.get $p) (i32.const 1)) (local.set $p (i32.add (local.get $p) (i32.const 4096))) (br_if $t (i32.lt_u (local.get $p) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))
    unreachable)
)
