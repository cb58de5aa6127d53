section verbose ufw status verbose
section numbered ufw status numbered
file_section settings /etc/default/ufw
section files ufw_files
