;; It takes all the table elements it can get, for ever.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"table-grow\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 179)) (i32.const 0))
  (table $t 1 funcref)
  (elem declare func $x)
  (func $x)
  (func (export "tocsin_collect") (result i32) (loop $g (br_if $g (i32.ne (table.grow $t (ref.func $x) (i32.const 50000000)) (i32.const -1)))) (loop $h (br_if $h (i32.ne (table.grow $t (ref.func $x) (i32.const 1000)) (i32.const -1)))) (if (i32.gt_u (table.size $t) (i32.const 100000)) (then (return (i32.const 1)))) unreachable)
)
