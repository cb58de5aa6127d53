section verbose ufw status verbose
section numbered ufw status numbered
