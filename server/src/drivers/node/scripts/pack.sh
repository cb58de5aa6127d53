(naosu_body) >"$naosu_dir/out" 2>"$naosu_dir/errors" </dev/null
naosu_exit=$?
tail -c 2000 "$naosu_dir/errors" >"$naosu_dir/tail"
printf 'errors 0 0 %s\n' "$(($(wc -c <"$naosu_dir/tail")))" >>"$naosu_dir/out"
cat "$naosu_dir/tail" >>"$naosu_dir/out"
naosu_sha256=$(sha256sum <"$naosu_dir/out")
printf 'exit=%s bytes=%s sha256=%s' "$naosu_exit" "$(($(wc -c <"$naosu_dir/out")))" \
    "${naosu_sha256%% *}" >"$naosu_dir/meta"
gzip -9 -n -c "$naosu_dir/out" | base64 -w 0 >"$naosu_dir/packed"
naosu_print_page "$naosu_nonce" 1
