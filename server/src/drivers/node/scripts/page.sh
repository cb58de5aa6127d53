naosu_print_page "$naosu_source" "$naosu_page"
