section added ufw show added
file_section user_rules /etc/ufw/user.rules
file_section user6_rules /etc/ufw/user6.rules
file_section defaults /etc/default/ufw
